"""z and z' are one latent s, each with its own noise: the law of prior=shared_latent."""

import math
from collections import Counter

import torch

from ssvae_cli.datasets.laws import univariate
from ssvae_cli.datasets.laws.base import Drawn, Law, PerDimension, like, positive
from ssvae_cli.datasets.laws.information import entropy_of_sum
from ssvae_cli.device import floats


class SharedLatent(Law):
    """z = s + noise * e, z' = s + noise * e', e and e' standard normal; s of the law `source` at this scale.

    df: of Student's t. truth: scale, noise; df. I is a sum over the dimensions: with (z - z') / sqrt 2, normal and
    independent of (z + z') / sqrt 2 = sqrt 2 s + noise * e, it is 2 h(z) - h(noise * e) - h(sqrt 2 s + noise * e).
    """

    markov = False  # the past says more of s

    def __init__(self, *, dim: int, source: univariate.Name, scale: PerDimension, noise: PerDimension, df: float):
        super().__init__(dim=dim)
        scales, noises = positive("scale", scale, dim), positive("noise", noise, dim)
        self.truth = {"scale": scales.tolist(), "noise": noises.tolist()} | ({"df": df} if source == "student" else {})
        self.source = univariate.univariate(source, df)
        self.register_buffer("scale", floats(scales))
        self.register_buffer("noise", floats(noises))

    def sample(self, count, generator):
        u = torch.rand(count, self.dim, dtype=torch.float64, generator=generator)
        s = self.scale * floats(self.source.quantile(u))
        return Drawn(self.partner(s, s, generator), shared=s)

    def partner(self, z, shared, generator):
        return shared + self.noise * like(torch.randn, shared, generator)

    def information(self):
        counts = Counter(zip(self.truth["scale"], self.truth["noise"]))
        return sum(n * self._of_dimension(*pair) for pair, n in counts.items()), 0.0

    def _of_dimension(self, scale: float, noise: float) -> float:
        """I of one dimension."""
        normal = univariate.Normal()
        of_z, of_mean = (entropy_of_sum(self.source, times * scale, normal, noise) for times in (1, math.sqrt(2)))
        return max(0.0, 2 * of_z - of_mean - normal.entropy - math.log(noise))  # of rounding, where it is 0
