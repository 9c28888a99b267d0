"""Correlated normal pairs with known mutual information, plain or behind an invertible transform."""

from functools import partial
from typing import Literal

from torch import Tensor, nn

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.laws.base import PerDimension
from ssvae_cli.datasets.laws.gaussian import Gaussian
from ssvae_cli.datasets.synthetic import InvertibleNetwork, observed


class Cubic(nn.Module):
    """z -> z^3, elementwise."""

    def forward(self, z: Tensor) -> Tensor:
        return z**3


def gaussian(
    *,
    dim: int,
    correlation: PerDimension,
    transform: Literal["none", "cubic", "network"],
    layers: int,
    train: int,
    validation: int,
    test: int,
    seed: int,
    memory_gb: float = 4.0,
) -> Data:
    """x = t(z), x' = t(z'), z and z' standard normal in `dim` dimensions; z_d and z'_d have this correlation.

    t is the identity, the cube, or a random invertible network of `layers`; none changes the mutual information,
    I(x; x') = -1/2 sum_d log(1 - correlation_d^2) nats. Factors: z.
    """
    law = Gaussian(dim=dim, correlation=correlation)
    network = partial(InvertibleNetwork, dim=dim, layers=layers, seed=seed)
    t = {"none": nn.Identity, "cubic": Cubic, "network": network}[transform]()
    counts = {"train": train, "validation": validation, "test": test}
    return observed(law, t, counts=counts, seed=seed, memory_gb=memory_gb)
