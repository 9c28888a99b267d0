"""z and z' are about one level, which a chain keeps: samples of one sequence share it, and so are not independent."""

import math

import torch

from ssvae_cli.datasets.laws.base import Drawn, Law, like
from ssvae_cli.errors import require, require_below_one


class Level(Law):
    """z = l + e, z' = l + e', standard normal: l has the variance `share`, and e, e' are of this `correlation`.

    A chain keeps its l, and its e are autoregressive. truth: correlation, that of z_d with z'_d, which is
    c = share + (1 - share) correlation. I = -D/2 log(1 - c^2); given the level, it is -D/2 log(1 - correlation^2).
    """

    markov = False  # the past says more of the level

    def __init__(self, *, dim: int, share: float, correlation: float):
        super().__init__(dim=dim)
        require_below_one(share=share)
        require(-1 < correlation < 1, f"correlation must lie between -1 and 1, both excluded, got {correlation}")
        self.share, self.correlation = share, correlation
        self.truth = {"correlation": [share + (1 - share) * correlation] * dim}

    def sample(self, count, generator):
        level = math.sqrt(self.share) * torch.randn(count, self.dim, generator=generator)
        return Drawn(level + math.sqrt(1 - self.share) * torch.randn(count, self.dim, generator=generator), level)

    def partner(self, z, shared, generator):
        std = math.sqrt((1 - self.share) * (1 - self.correlation**2))
        return shared + self.correlation * (z - shared) + std * like(torch.randn, z, generator)

    def information(self):
        return -0.5 * sum(math.log1p(-(c**2)) for c in self.truth["correlation"]), 0.0
