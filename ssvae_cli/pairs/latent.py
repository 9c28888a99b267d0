"""Pairs by the data set's own conditional P(x'|x)."""

from dataclasses import replace

import torch

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import require
from ssvae_cli.pairs.base import Identity
from ssvae_cli.pairs.chain import Chain


class Latent(Chain):
    """x unchanged, and a fresh x' from P(x'|x): `Data.conditional`, which reads the factors of x."""

    def check(self, data: Data) -> None:
        wanted = "data with their own conditional: dataset=gaussian, latents (without steps) or sprites"
        require(data.conditional is not None, f"pairs=latent needs {wanted}; pairs=context is for sequences")
        self.conditional = data.conditional

    def mi(self, data: Data) -> float | None:
        return data.mi if isinstance(self.then, Identity) else None

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        return replace(batch, x_prime=self.conditional(batch, generator))

    def example(self, batch: Split) -> Split:
        return replace(batch, x_prime=batch.x)
