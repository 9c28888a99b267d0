"""Dropped measurements on both sides: pairs of gene expression and other vectors of counts or amounts."""

from dataclasses import replace

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import require
from ssvae_cli.pairs.base import Pairs, other_side
from ssvae_cli.pairs.chain import Chain


class Dropout(Chain):
    """x and x' with each entry set, with `probability` and independently, to what a measurement of 0 is in x.

    That is `Data.zero`, which is not 0 where x are z-scores; no entry is rescaled, as a cell of few reads is not.
    Source: Ciortan & Defrance, "Contrastive self-supervised clustering of scRNA-seq data" (2021).
    """

    def __init__(self, *, probability: float, then: Pairs):
        super().__init__(then=then)
        require(0 < probability < 1, f"probability must lie between 0 and 1, both excluded, got {probability}")
        self.probability = probability
        self.zero = torch.zeros(())

    def check(self, data: Data) -> None:
        fits = len(data.shape) == 1 and len(data.shape_prime or data.shape) == 1
        require(fits, f"pairs=dropout is for vectors [D], and one x is {list(data.shape)} here; pairs=noise takes any")
        if data.zero is not None:
            self.zero = data.zero

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        x, x_prime = (self._dropped(x, generator) for x in (batch.x, other_side(batch)))
        return replace(batch, x=x, x_prime=x_prime)

    def _dropped(self, x: Tensor, generator: torch.Generator) -> Tensor:
        kept = draw_rows(torch.rand, *x.shape, device=x.device, generator=generator) >= self.probability
        return torch.where(kept, x, self.zero.to(x.device))
