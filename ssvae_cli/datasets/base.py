"""What a data set is to the rest of the program: three fixed splits of uint8 images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ssvae_cli.errors import require


@dataclass(frozen=True)
class Split:
    """x: uint8 [N, C, H, W]; y: int64 [N], read by evaluation alone."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class ImageData:
    """Train, validation and test, the same whatever the run's seed."""

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return tuple(self.train.x.shape[1:])


def hold_out(split: Split, count: int) -> tuple[Split, Split]:
    """(the rest, `count` images for validation), drawn once and for all: no run's seed moves the split."""
    require(
        1 <= count < len(split.x),
        f"dataset.validation must lie between 1 and {len(split.x) - 1}, one less than the training images, got {count}",
    )
    order = torch.randperm(len(split.x), generator=torch.Generator().manual_seed(0))
    held, kept = order[:count].sort().values, order[count:].sort().values
    return Split(split.x[kept], split.y[kept]), Split(split.x[held], split.y[held])
