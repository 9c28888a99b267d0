"""Coloured shapes on a grey ground, 64x64, drawn from known factors; after dSprites (Matthey et al. 2017)."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Data, Factor, Split
from ssvae_cli.datasets.synthetic import make_splits
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import require_within

SIDE = 64
SHAPES = ("square", "ellipse", "triangle")
# Orientations stay within the shapes' symmetry and hues within part of the circle: different factors, different images.
RANGES = {
    "scale": (0.25, 0.45),  # half the side of the square, the frame being [-1, 1]^2
    "orientation": (-math.pi / 4, math.pi / 4),
    "x": (-0.5, 0.5),
    "y": (-0.5, 0.5),
    "colour": (0.0, 2 / 3),  # hue
    "background": (0.0, 0.6),  # grey level
}
GROUPS = {  # what is the same in x and x', and what differs
    "content": ("shape", "scale", "colour"),
    "style": ("orientation", "x", "y"),
    "nuisance": ("background", "gradient_x", "gradient_y"),
}
GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
FACTORS = (Factor("shape", len(SHAPES), "content"), *(Factor(name, group=GROUP_OF[name]) for name in RANGES))
GRADIENT = tuple(Factor(name, group="nuisance") for name in GROUPS["nuisance"][1:])  # of the background's grey level
CHUNK = 256


class Moved(nn.Module):
    """P(x'|x): the same shape, scale and colour at another position and orientation, on another background."""

    def __init__(self, nuisance: float):
        super().__init__()
        self.nuisance = nuisance

    def forward(self, batch: Split, generator: torch.Generator) -> Tensor:
        """uint8 [B, 3, 64, 64]."""
        factors = columns(self.nuisance)
        moves = torch.tensor([factor.group != "content" for factor in factors], device=batch.factors.device)
        return render(torch.where(moves, _draw(len(batch), self.nuisance, generator), batch.factors))


def sprites(*, nuisance: float, train: int, validation: int, test: int, seed: int, memory_gb: float = 4.0) -> Data:
    """uint8 [N, 3, 64, 64]; factors: shape, scale, orientation, x, y, colour, background, all independent; y: shape.

    nuisance: above 0 the background has a gradient of up to this grey level across the image in x, and in y; two more
    factors.
    """
    require_within(0, 1, nuisance=nuisance)

    def make(count: int, generator: torch.Generator) -> Split:
        factors = _draw(count, nuisance, generator)
        x = torch.cat([render(chunk) for chunk in factors.split(CHUNK)])
        return Split(x, factors[:, 0].long(), factors=factors)

    counts = {"train": train, "validation": validation, "test": test}
    splits = make_splits(counts, seed, memory_gb, make)
    return Data(**splits, classes=SHAPES, factors=columns(nuisance), conditional=Moved(nuisance))


def columns(nuisance: float) -> tuple[Factor, ...]:
    """The columns of the factors under a nuisance of this strength."""
    return (*FACTORS, *(GRADIENT if nuisance else ()))


def _draw(count: int, nuisance: float, generator: torch.Generator) -> Tensor:
    """Uniform factors, [N, F], in the order of `columns`."""
    u = draw_rows(torch.rand, count, len(columns(nuisance)), device=generator.device, generator=generator)
    ranges = [(0, len(SHAPES)), *RANGES.values(), *([(-nuisance, nuisance)] * len(GRADIENT) if nuisance else [])]
    low, high = torch.tensor(ranges, dtype=u.dtype, device=u.device).T
    factors = low + u * (high - low)
    factors[:, 0] = factors[:, 0].floor().clamp_max(len(SHAPES) - 1)
    return factors


def render(factors: Tensor) -> Tensor:
    """The images of factors [N, F], in the order of `columns`, uint8 [N, 3, 64, 64]; edges are one pixel soft."""
    shape, scale, angle, x, y, hue, ground, *gradient = (f[:, None, None] for f in factors.T)
    line = (torch.arange(SIDE, device=factors.device) + 0.5) / SIDE * 2 - 1
    if gradient:
        slope_x, slope_y = gradient
        ground = (ground + 0.5 * (slope_x * line[None, None] + slope_y * line[None, :, None])).clamp(0, 1)
    dx, dy = line[None, None] - x, line[None, :, None] - y
    u = (angle.cos() * dx + angle.sin() * dy) / scale
    v = (angle.cos() * dy - angle.sin() * dx) / scale
    # Distance to the edge in units of the scale, below 0 inside.
    square = torch.maximum(u.abs(), v.abs()) - 1
    ellipse = ((u / 1.2) ** 2 + (v / 0.7) ** 2).sqrt() - 1
    triangle = torch.maximum(0.5 * v + 0.75**0.5 * u.abs(), -v) - 0.7
    edge = torch.where(shape == 0, square, torch.where(shape == 1, ellipse, triangle))
    cover = (0.5 - edge * scale * SIDE / 2).clamp(0, 1)[:, None]
    wheel = (hue[:, None] * 6 + torch.tensor([0, 4, 2], device=factors.device)[:, None, None]) % 6
    colour = ((wheel - 3).abs() - 1).clamp(0, 1)
    return (255 * (cover * colour + (1 - cover) * ground[:, None])).round().to(torch.uint8)
