"""What a data set is to the rest of the program: three fixed splits of uint8 images."""

from dataclasses import dataclass

from torch import Tensor


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
