"""Crops and affine moves: the parameters of a whole batch, drawn at once."""

import math

import torch
from torch import Tensor

from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import require, require_within

ATTEMPTS = 10  # boxes drawn per sample before the fallback, as in torchvision
MOST_SHRINKING = 16  # each pixel of a view averages up to the square of it in samples


def uniform(n: int, low: float, high: float | Tensor, generator: torch.Generator, *shape: int) -> Tensor:
    """[n, *shape], uniform between low and high, on the generator's device; n: number of samples."""
    return low + (high - low) * draw_rows(torch.rand, n, *shape, device=generator.device, generator=generator)


class Crop:
    """A box of random area and shape, resized: the parameters of torchvision's RandomResizedCrop."""

    def __init__(self, *, scale: tuple[float, float], ratio: tuple[float, float]):
        require(0 < scale[0] <= scale[1] <= 1, f"scale must be 0 < low <= high <= 1, got {list(scale)}")
        require(0 < ratio[0] <= ratio[1], f"ratio must be 0 < low <= high, got {list(ratio)}")
        self.scale, self.ratio = scale, ratio

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Boxes (top, left, height, width) in whole pixels, [n, 4]: the first of ten that fits, else the centre."""
        area = height * width * uniform(n, *self.scale, generator, ATTEMPTS)
        aspect = uniform(n, math.log(self.ratio[0]), math.log(self.ratio[1]), generator, ATTEMPTS).exp()
        w, h = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
        first = fits.float().argmax(1, keepdim=True)
        w, h, valid = w.gather(1, first)[:, 0], h.gather(1, first)[:, 0], fits.any(1)
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])  # of the fallback: the image's, if allowed
        central_w, central_h = min(width, round(height * ratio)), min(height, round(width / ratio))
        w, h = w.where(valid, float(central_w)), h.where(valid, float(central_h))
        u = uniform(n, 0, 1, generator, 2)
        top = torch.where(valid, (u[:, 0] * (height - h + 1)).floor(), ((height - h) / 2).floor())
        left = torch.where(valid, (u[:, 1] * (width - w + 1)).floor(), ((width - w) / 2).floor())
        return torch.stack([top, left, h, w], 1)


class Affine:
    """Random rotation, shift, zoom and shear: the parameters of torchvision's RandomAffine."""

    def __init__(self, *, degrees: float, translate: float, scale: tuple[float, float], shear: float):
        require_within(0, 180, degrees=degrees)
        require_within(0, 1, translate=translate)
        require(0 < scale[0] <= scale[1], f"scale must be 0 < low <= high, got {list(scale)}")
        require(0 <= shear < 90, f"shear must lie in [0, 90), got {shear}")
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear
        fault = f"scale={list(scale)} with shear={shear} can shrink it to 1/{self.shrinks:.3g}"
        message = f"affine may shrink an image to 1/{MOST_SHRINKING}, but {fault}; raise scale or lower shear"
        require(self.shrinks <= MOST_SHRINKING, message)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Columns angle, shear (degrees), shifts along x and y (shares of the side), scale; [n, 5]."""
        degrees, translate, shear = self.degrees, self.translate, self.shear
        # torchvision rounds shifts to whole pixels, which leaves few of them on a small image.
        ranges = [(-degrees, degrees), (-shear, shear), (-translate, translate), (-translate, translate), self.scale]
        return torch.stack([uniform(n, *ends, generator) for ends in ranges], 1)

    @property
    def shrinks(self) -> float:
        """The most by which a draw can shrink a length."""
        tangent = math.tan(math.radians(self.shear))
        return (tangent + math.sqrt(tangent**2 + 4)) / 2 / self.scale[0]
