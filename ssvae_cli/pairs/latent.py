"""Pairs by the data set's own conditional P(x'|x), where it has one."""

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import require
from ssvae_cli.pairs.base import Pairs


class Latent(Pairs):
    """x as it is, and a fresh x' from P(x'|x): `Data.conditional`, which knows the factors behind x."""

    def attach(self, data: Data) -> None:
        require(
            data.conditional is not None,
            "pairs=latent needs data with a conditional of their own: dataset=gaussian, latents or sprites",
        )
        self.conditional = data.conditional

    @torch.no_grad()
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.normalise(batch.x), self.normalise(self.conditional(batch, generator))
