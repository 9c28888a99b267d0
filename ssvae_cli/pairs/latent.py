"""Pairs by the data set's own conditional P(x'|x), where it has one."""

from dataclasses import replace

import torch

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import require
from ssvae_cli.pairs.base import Identity
from ssvae_cli.pairs.chain import Chain


class Latent(Chain):
    """x as it is, and a fresh x' from P(x'|x): `Data.conditional`, which knows the factors behind x."""

    def check(self, data: Data) -> None:
        require(
            data.conditional is not None,
            "pairs=latent needs data with a conditional of their own: dataset=gaussian, latents or sprites",
        )
        self.conditional = data.conditional

    def mi(self, data: Data) -> float | None:
        return data.mi if isinstance(self.then, Identity) else None

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        return replace(batch, x_prime=self.conditional(batch, generator))
