"""Correlated normal pairs with known mutual information, plain or behind an invertible transform."""

import math
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Data, Factor, Split
from ssvae_cli.datasets.synthetic import InvertibleNetwork, make_splits, unlabelled
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import require, require_at_least


class Partner(nn.Module):
    """P(x'|x): z' = correlation z + sqrt(1 - correlation^2) e, e standard normal, x' = transform(z')."""

    def __init__(self, correlation: float, transform: nn.Module):
        super().__init__()
        self.correlation, self.transform = correlation, transform

    def forward(self, batch: Split, generator: torch.Generator) -> Tensor:
        """A fresh x' for every sample, [B, D]."""
        z = batch.factors
        noise = draw_rows(torch.randn, *z.shape, device=z.device, generator=generator)
        return self.transform(self.correlation * z + math.sqrt(1 - self.correlation**2) * noise)


class Cubic(nn.Module):
    """z -> z^3, elementwise."""

    def forward(self, z: Tensor) -> Tensor:
        return z**3


def gaussian(
    *,
    dim: int,
    correlation: float,
    transform: Literal["none", "cubic", "network"],
    layers: int,
    train: int,
    validation: int,
    test: int,
    seed: int,
    memory_gb: float = 4.0,
) -> Data:
    """x = t(z), x' = t(z'), z and z' standard normal in `dim` dimensions; z_i and z'_i have this correlation.

    t is the identity, the cube, or a random invertible network of `layers`; none changes the mutual information,
    I(x; x') = -dim/2 log(1 - correlation^2) nats. Factors: z.
    """
    require_at_least(1, dim=dim)
    require(-1 < correlation < 1, f"correlation must lie between -1 and 1, got {correlation}")
    network = partial(InvertibleNetwork, dim=dim, layers=layers, seed=seed)
    t = {"none": nn.Identity, "cubic": Cubic, "network": network}[transform]()

    def make(count: int, generator: torch.Generator) -> Split:
        z = torch.randn(count, dim, generator=generator)
        return unlabelled(t(z), z)

    return Data(
        **make_splits({"train": train, "validation": validation, "test": test}, seed, memory_gb, make),
        factors=tuple(Factor(f"z{i}") for i in range(dim)),
        conditional=Partner(correlation, t),
        mi=-0.5 * dim * math.log1p(-(correlation**2)),
    )
