"""What a data set is to the rest of the program: three fixed splits of uint8 images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ssvae_cli.errors import require


@dataclass(frozen=True)
class Split:
    """x: uint8 [N, C, H, W]; y: int64 [N], read by evaluation alone, -1 where an image has no label."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, rows: Tensor) -> "Split":
        """Those images, in that order."""
        return Split(self.x[rows], self.y[rows])


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
    """(the rest, `count` images for validation). Raises UserError where that leaves nothing to train on."""
    kept, held = hold_out_rows(len(split), count)
    return split.rows(kept), split.rows(held)


def hold_out_rows(total: int, count: int) -> tuple[Tensor, Tensor]:
    """(rows for training, `count` rows for validation) of `total` training images."""
    require(total >= 2, f"training needs at least 2 images, one of them for validation, got {total}")
    require(
        1 <= count < total,
        f"dataset.validation must lie between 1 and {total - 1}, one less than the training images, got {count}",
    )
    held, kept = draw(total, count)
    return kept, held


def limited(train: Split, limit: int | None) -> Split:
    """`limit` of the training images, or all of them where it is null."""
    return train if limit is None else train.rows(limit_rows(len(train), limit))


def limit_rows(total: int, limit: int | None) -> Tensor:
    """`limit` of `total` rows; the draw for a smaller limit is part of the draw for a larger one."""
    require(
        limit is None or 1 <= limit <= total,
        f"dataset.limit must lie between 1 and {total}, the images there are to train on, or be null; got {limit}",
    )
    return draw(total, total if limit is None else limit)[0]


def draw(total: int, count: int) -> tuple[Tensor, Tensor]:
    """(`count` of `total` rows, the others), each in order; drawn once and for all, so no run's seed moves them."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    return order[:count].sort().values, order[count:].sort().values
