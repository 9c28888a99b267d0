"""Crop, flip, resizing and affine moves as one resampling of a whole batch, antialiased where it shrinks."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require_within
from ssvae_cli.pairs.geometry import Affine, Crop, uniform


class Resample:
    """Crop and resize, flip left to right, then move; every sample with its own parameters, in one resampling.

    An affine move after a crop brings in what the image has outside the box; only outside the image are there zeros.
    size: the result's side in pixels, None for the images' own.
    """

    def __init__(self, *, crop: Crop | None, flip: float, affine: Affine | None, size: int | None):
        require_within(0, 1, flip=flip)
        self.crop, self.flip, self.affine, self.size = crop, flip, affine, size

    def out(self, size: tuple[int, int]) -> tuple[int, int]:
        """The result's (height, width) for images of this size."""
        return (self.size, self.size) if self.size else tuple(size)

    def draw(self, n: int, size: tuple[int, int], generator: torch.Generator) -> tuple[Tensor, ...]:
        """The arguments of a call after x; none if there is nothing to do."""
        if self.crop is None and self.affine is None and not self.flip and self.out(size) == tuple(size):
            return ()
        boxes = whole(n, size, generator.device) if self.crop is None else self.crop.draw(n, *size, generator)
        flip = uniform(n, 0, 1, generator) < self.flip
        return (boxes, flip) if self.affine is None else (boxes, flip, self.affine.draw(n, generator))

    def __call__(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, *out]."""
        size = self.out(x.shape[2:])
        if self.affine is None or not parameters:
            return resized_crop(x, *parameters, size) if parameters else x
        shrinks = self.affine.shrinks * max(a / b for a, b in zip(x.shape[2:], size))
        return moved_crop(x, *parameters, size, math.ceil(shrinks - 1e-6))


def whole(n: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """Boxes around whole images, [n, 4]."""
    return torch.cat([torch.full((n, 1), float(value), device=device) for value in (0, 0, *size)], 1)


def resized_crop(x: Tensor, boxes: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop, flip and resize by one bilinear resampling, antialiased where it shrinks.

    x: [B, C, H, W]; boxes: [B, 4], (top, left, height, width); flip: [B], bool. Returns [B, C, *size]."""
    can_shrink = any(inside > outside for inside, outside in zip(x.shape[2:], size))
    return (_filtered if can_shrink else _interpolated)(x, boxes, flip, size)


def _interpolated(x: Tensor, boxes: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    """For boxes that cannot shrink: bilinear between pixels inside the box."""
    coordinates = []
    for axis, (inside, outside) in enumerate(zip(x.shape[2:], size)):
        start, length = boxes[:, axis, None], boxes[:, axis + 2, None]
        centre = start + (torch.arange(outside, device=x.device) + 0.5) * (length / outside)
        centre = centre.maximum(start + 0.5).minimum(start + length - 0.5)
        coordinates.append(centre * (2 / inside) - 1)  # grid_sample's axes run from -1 to 1
    rows, columns = coordinates
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    grid = x.new_empty(len(x), *size, 2)
    grid[..., 0], grid[..., 1] = columns[:, None], rows[:, :, None]
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _filtered(x: Tensor, boxes: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    """Rows and columns by one matrix each, so the filter is exact: rows[b] @ x[b, c] @ columns[b]^T."""
    rows = _weights(boxes[:, 0], boxes[:, 2], x.shape[2], size[0])
    columns = _weights(boxes[:, 1], boxes[:, 3], x.shape[3], size[1])
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    # One product for the columns of all channels, then one per channel for the rows: no weight is copied.
    wide = torch.bmm(x.flatten(1, 2), columns.mT).unflatten(1, x.shape[1:3])
    return torch.stack([torch.bmm(rows, channel) for channel in wide.unbind(1)], 1)


def _weights(start: Tensor, length: Tensor, inside: int, outside: int) -> Tensor:
    """[B, outside, inside]: a triangle filter; its half-width is an output step where that shrinks, else 1 pixel."""
    device = start.device
    step = (length / outside)[:, None, None]
    centre = start[:, None, None] + (torch.arange(outside, device=device)[:, None] + 0.5) * step
    pixel = torch.arange(inside, device=device) + 0.5
    weight = (pixel - centre).abs_().div_(step.clamp_min(1)).neg_().add_(1).clamp_(min=0)
    weight.mul_((pixel > start[:, None, None]) & (pixel < (start + length)[:, None, None]))
    return weight.div_(weight.sum(2, keepdim=True))


def moved_crop(x: Tensor, boxes: Tensor, flip: Tensor, moves: Tensor, size: tuple[int, int], points: int) -> Tensor:
    """Crop, flip and resize, then move as torchvision's `affine` does, by one bilinear resampling; zeros outside x.

    x: [B, C, H, W]; boxes, flip: as for `resized_crop`; moves: [B, 5], as drawn by `Affine`. points: samples per side
    of an output pixel, at most the shrinking. They are spread by how much a sample shrinks, so the filter has the
    variance of the triangle in `resized_crop`, and coincide if it does not shrink.
    """
    (height, width), (rows, columns) = x.shape[2:], size
    n, (angle, shear, shift_x, shift_y, scale) = len(x), moves.unbind(1)
    sine, cosine, lean = torch.deg2rad(angle).sin(), torch.deg2rad(angle).cos(), torch.deg2rad(shear).tan()
    # Forward, in output pixels about the centre: scale * rotation * shear. Sampling needs its inverse, then the flip
    # and the box: input pixels per step along the output's x and along its y, [B, 2] each.
    inverse = torch.stack([cosine - sine * lean, cosine * lean + sine, -sine, cosine], 1).view(n, 2, 2)
    box = torch.stack([boxes[:, 3] / columns * (1 - 2 * flip.to(x.dtype)), boxes[:, 2] / rows], 1)
    step_x, step_y = (box[:, :, None] * inverse / scale[:, None, None]).unbind(2)
    at_x = _samples(columns, points, step_x) - (shift_x * columns)[:, None, None]  # [B, points, columns]
    at_y = _samples(rows, points, step_y) - (shift_y * rows)[:, None, None]
    grid = x.new_empty(n, points, points, rows, columns, 2)
    for axis, side in enumerate((width, height)):
        centre = boxes[:, 1 - axis] + boxes[:, 3 - axis] / 2
        to_unit = 2 / side  # grid_sample's axes run from -1 to 1
        along_x = (step_x[:, axis, None, None] * at_x + centre[:, None, None]) * to_unit - 1
        along_y = step_y[:, axis, None, None] * at_y * to_unit
        grid[..., axis] = along_x[:, None, :, None, :] + along_y[:, :, None, :, None]
    samples = F.grid_sample(x, grid.view(n, -1, columns, 2), align_corners=False)
    return samples.unflatten(2, (points**2, rows)).mean(2) if points > 1 else samples


def _samples(side: int, points: int, step: Tensor) -> Tensor:
    """[B, points, side]: samples along an axis, in output pixels about the centre; step: [B, 2] input pixels."""
    centres = torch.arange(side, device=step.device) - (side - 1) / 2
    if points == 1:
        return centres.expand(len(step), 1, -1)
    # A triangle filter of half-width step has the variance step^2 / 6, of which interpolation already gives 1 / 6.
    missing = (1 - 1 / (step**2).sum(1).clamp_min(1)) / 6
    spacing = (12 * missing / (points**2 - 1)).sqrt()
    spread = torch.arange(points, device=step.device) - (points - 1) / 2
    return centres + (spacing[:, None] * spread)[:, :, None]
