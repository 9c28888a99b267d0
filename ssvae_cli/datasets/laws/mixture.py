"""z and z' are of one cluster: the law of prior=mixture."""

import math

import torch
from torch import Tensor

from ssvae_cli.datasets.laws.base import Drawn, Law, like, sample_information
from ssvae_cli.errors import require, require_above, require_at_least


class Mixture(Law):
    """Clusters of equal weight, N(m_k, I), the centres normal of standard deviation `spread`, fixed by the seed.

    correlation: of z_d with z'_d within a cluster; 0: they share nothing but the cluster, as in prior=mixture. The
    label is the cluster. truth: weights, means. I is a mean over samples of a fixed seed.
    """

    markov = False  # the past says more of the cluster

    def __init__(self, *, dim: int, components: int, spread: float, correlation: float, seed: int):
        super().__init__(dim=dim)
        require_at_least(1, components=components)
        require_above(0, spread=spread)
        require(-1 < correlation < 1, f"correlation must lie between -1 and 1, both excluded, got {correlation}")
        self.classes, self.correlation = components, correlation
        self.register_buffer(
            "means", spread * torch.randn(components, dim, generator=torch.Generator().manual_seed(seed + 1))
        )
        self.truth = {"weights": [1 / components] * components, "means": self.means.tolist()}

    def sample(self, count, generator):
        k = torch.randint(self.classes, (count,), generator=generator)
        return Drawn(self.means[k] + torch.randn(count, self.dim, generator=generator), shared=k, label=k)

    def partner(self, z, shared, generator):
        mean, noise = self.means[shared], like(torch.randn, z, generator)
        return mean + self.correlation * (z - mean) + math.sqrt(1 - self.correlation**2) * noise

    def information(self):
        return sample_information(self, self._log_ratio)

    def _log_ratio(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log P(z, z') / (P(z) P(z')), [N, D] each -> [N], float64."""
        e, e_prime = (side.double()[:, None] - self.means.double() for side in (z, z_prime))  # [N, K, D]
        left = 1 - self.correlation**2
        joint = e**2 + (e_prime - self.correlation * e) ** 2 / left + math.log(left)
        log_joint, log_z, log_z_prime = ((-0.5 * squares.sum(2)).logsumexp(1) for squares in (joint, e**2, e_prime**2))
        return log_joint - log_z - log_z_prime + math.log(self.classes)
