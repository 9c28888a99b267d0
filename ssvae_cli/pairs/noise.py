"""Noise on both sides: pairs from data of any shape."""

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import require, require_at_least
from ssvae_cli.pairs.base import Pairs, require_views, shapes_of_sides, sides


class Noise(Pairs):
    """x + e and x' + e', with x' = x if the data have no x'; e, e' ~ N(0, std^2), independent in every entry.
    views: how many of one x, two or more."""

    def __init__(self, *, std: float, views: int = 2):
        require(std > 0, f"std must be above 0, got {std}; without noise x and x' would be equal")
        require_at_least(2, views=views)
        self.views = views
        self.noise = std  # in the units that encoders see; for images, those of normalised pixels

    def attach(self, data: Data) -> None:
        require_views(self.views, data)

    def shapes(self, data: Data) -> tuple[Shape, ...]:
        return shapes_of_sides(data, self.views)

    @torch.no_grad()
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, ...]:
        return tuple(self._noisy(self.normalise(x), generator) for x in sides(batch, self.views))

    def _noisy(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + self.noise * draw_rows(torch.randn, *x.shape, device=x.device, generator=generator)
