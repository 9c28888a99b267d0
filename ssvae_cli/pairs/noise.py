"""Noise on both sides: pairs from data of any shape."""

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import require
from ssvae_cli.pairs.base import Pairs, other_side


class Noise(Pairs):
    """x + e and x' + e', with x' = x if the data have no x'; e, e' ~ N(0, std^2), independent in every entry."""

    def __init__(self, *, std: float):
        require(std > 0, f"std must be above 0, got {std}; without noise x and x' would be equal")
        self.noise = std  # in the units that encoders see; for images, those of normalised pixels

    def shapes(self, data: Data) -> tuple[Shape, Shape]:
        return data.shape, data.shape_prime or data.shape

    @torch.no_grad()
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return tuple(self._noisy(self.normalise(x), generator) for x in (batch.x, other_side(batch)))

    def _noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + self.noise * draw_rows(torch.randn, *x.shape, device=x.device, generator=generator)
