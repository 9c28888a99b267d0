"""z and z' jointly normal, a correlation for each dimension: the law of prior=gaussian."""

import math

import torch

from ssvae_cli.datasets.base import Factor
from ssvae_cli.datasets.laws.base import Drawn, Law, PerDimension, like, per_dimension
from ssvae_cli.device import floats
from ssvae_cli.errors import require


class Gaussian(Law):
    """z standard normal, z' = correlation * z + sqrt(1 - correlation^2) e. truth: correlation.

    I = -1/2 sum_d log(1 - correlation_d^2). Dimensions of correlation 0, where there are others, are noise.
    """

    def __init__(self, *, dim: int, correlation: PerDimension):
        super().__init__(dim=dim)
        rho = per_dimension("correlation", correlation, dim)
        require(bool((rho.abs() < 1).all()), f"correlation must lie between -1 and 1, both excluded, got {correlation}")
        self.truth = {"correlation": rho.tolist()}
        self.register_buffer("correlation", floats(rho))
        self.register_buffer("noise", floats((1 - rho**2).sqrt()))

    def sample(self, count, generator):
        return Drawn(torch.randn(count, self.dim, generator=generator))

    def partner(self, z, shared, generator):
        return self.correlation * z + self.noise * like(torch.randn, z, generator)

    def information(self):
        return -0.5 * sum(math.log1p(-(rho**2)) for rho in self.truth["correlation"]), 0.0

    def factors(self):
        kinds = ["signal" if rho else "noise" for rho in self.truth["correlation"]]
        groups = kinds if len(set(kinds)) == 2 else [None] * self.dim
        return tuple(Factor(f"z{i}", group=group) for i, group in enumerate(groups))
