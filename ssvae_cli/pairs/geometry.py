"""Crop, flip and affine moves, for a whole batch at once with parameters of their own for every sample."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require
from ssvae_cli.ranks import draw

ATTEMPTS = 10  # boxes drawn a sample before the fallback, as torchvision does


def uniform(n: int, low: float, high: float, generator: torch.Generator, *shape: int) -> Tensor:
    """[n, *shape], uniform between low and high, on the generator's device; n: the samples."""
    return low + (high - low) * draw(torch.rand, n, *shape, device=generator.device, generator=generator)


def require_probability(value: float, key: str) -> None:
    """Raise UserError unless 0 <= value <= 1."""
    require(0 <= value <= 1, f"{key} must lie in [0, 1], got {value}")


class Crop:
    """A box of random area and shape, resized: the parameters of torchvision's RandomResizedCrop."""

    def __init__(self, *, scale: tuple[float, float], ratio: tuple[float, float]):
        require(0 < scale[0] <= scale[1] <= 1, f"pairs.crop.scale must be 0 < low <= high <= 1, got {list(scale)}")
        require(0 < ratio[0] <= ratio[1], f"pairs.crop.ratio must be 0 < low <= high, got {list(ratio)}")
        self.scale, self.ratio = scale, ratio

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """Boxes (top, left, height, width) in whole pixels, [n, 4]: the first that fits of ten, else the centre."""
        area = height * width * uniform(n, *self.scale, generator, ATTEMPTS)
        aspect = uniform(n, math.log(self.ratio[0]), math.log(self.ratio[1]), generator, ATTEMPTS).exp()
        w, h = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
        first = fits.float().argmax(1, keepdim=True)
        w, h, found = w.gather(1, first)[:, 0], h.gather(1, first)[:, 0], fits.any(1)
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])  # of the fallback: the image's, if allowed
        central_w, central_h = min(width, round(height * ratio)), min(height, round(width / ratio))
        w, h = w.where(found, float(central_w)), h.where(found, float(central_h))
        u = uniform(n, 0, 1, generator, 2)
        top = torch.where(found, (u[:, 0] * (height - h + 1)).floor(), ((height - h) / 2).floor())
        left = torch.where(found, (u[:, 1] * (width - w + 1)).floor(), ((width - w) / 2).floor())
        return torch.stack([top, left, h, w], 1)


def resized_crop(x: Tensor, boxes: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop, flip and resize in one bilinear resampling, antialiased where it shrinks.

    x: [B, C, H, W]; boxes: [B, 4], (top, left, height, width); flip: [B], bool. Returns [B, C, *size]. Rows and columns
    are resampled by one matrix each, so the filter is exact and the work is two small matrix products.
    """
    rows = _weights(boxes[:, 0], boxes[:, 2], x.shape[2], size[0])
    columns = _weights(boxes[:, 1], boxes[:, 3], x.shape[3], size[1])
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    return rows[:, None] @ x @ columns.mT[:, None]


def _weights(start: Tensor, length: Tensor, inside: int, outside: int) -> Tensor:
    """[B, outside, inside]: a triangle filter, as wide as a step of the output where that shrinks, else one pixel."""
    device = start.device
    step = (length / outside)[:, None, None]
    centre = start[:, None, None] + (torch.arange(outside, device=device)[:, None] + 0.5) * step
    pixel = torch.arange(inside, device=device) + 0.5
    weight = (1 - (pixel - centre).abs() / step.clamp_min(1)).clamp_min(0)
    end = (start + length)[:, None, None]
    weight = weight * ((pixel > start[:, None, None]) & (pixel < end))
    return weight / weight.sum(2, keepdim=True)


class Affine:
    """Random rotation, shift, zoom and shear: the parameters of torchvision's RandomAffine."""

    def __init__(self, *, degrees: float, translate: float, scale: tuple[float, float], shear: float):
        require(0 <= degrees <= 180, f"pairs.affine.degrees must lie in [0, 180], got {degrees}")
        require(0 <= translate <= 1, f"pairs.affine.translate is a share of the side, in [0, 1], got {translate}")
        require(0 < scale[0] <= scale[1], f"pairs.affine.scale must be 0 < low <= high, got {list(scale)}")
        require(0 <= shear < 90, f"pairs.affine.shear must lie in [0, 90), got {shear}")
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """angle and shear in degrees, shifts as a share of the side, scale; [n] each."""
        return {
            "angle": uniform(n, -self.degrees, self.degrees, generator),
            "shift_x": uniform(n, -self.translate, self.translate, generator),
            "shift_y": uniform(n, -self.translate, self.translate, generator),
            "scale": uniform(n, *self.scale, generator),
            "shear": uniform(n, -self.shear, self.shear, generator),
        }


def affine(
    x: Tensor, flip: Tensor, *, angle: Tensor, shift_x: Tensor, shift_y: Tensor, scale: Tensor, shear: Tensor
) -> Tensor:
    """Flip, then move as torchvision's `affine` does, in one bilinear resampling with zeros outside.

    x: [B, C, H, W]; flip: [B], bool; angle (clockwise) and shear (along x) in degrees, shifts as a share of the side;
    [B] each.
    """
    height, width = x.shape[2:]
    rotation, lean = torch.deg2rad(angle), torch.deg2rad(shear)
    # Forward: scale * R(rotation) * shear, in pixels about the centre; sampling needs its inverse.
    a, b = rotation.cos(), -rotation.cos() * lean.tan() - rotation.sin()
    c, d = rotation.sin(), -rotation.sin() * lean.tan() + rotation.cos()
    inverse = torch.stack([d, -b, -c, a], 1).view(-1, 2, 2) / scale[:, None, None]
    shift = torch.stack([shift_x * width, shift_y * height], 1)
    offset = -(inverse @ shift[:, :, None])
    side = torch.tensor([width, height], device=x.device, dtype=x.dtype)  # grid_sample's axes run from -1 to 1
    inverse = inverse * (side[None, None, :] / side[None, :, None])
    theta = torch.cat([inverse, 2 * offset / side[:, None]], 2)
    sign = torch.stack([1 - 2 * flip.to(x.dtype), torch.ones_like(angle)], 1)
    grid = F.affine_grid(theta * sign[:, :, None], list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)
