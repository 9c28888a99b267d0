"""The mixture prior: clusters, within which z and z' are independent."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require_above, require_at_least
from ssvae_cli.priors.base import ExplicitPrior


class Mixture(ExplicitPrior):
    """P(z, z') = sum_k pi_k N(z; m_k, D_k) N(z'; m'_k, D'_k), all learned, the D diagonal.
    z and z' share nothing but the cluster, so I under the prior is at most log K: a clustering objective.
    components: K. spread: initial standard deviation of the centres; within a cluster it is initially 1."""

    def __init__(self, *, latent_dim: int, components: int, spread: float):
        super().__init__()
        require_at_least(1, components=components)
        require_above(0, spread=spread)
        centres = spread * torch.randn(components, latent_dim)
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.ParameterList([centres.clone(), centres.clone()])
        self.log_stds = nn.ParameterList([torch.zeros(components, latent_dim) for _ in range(2)])

    def log_components(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log pi_k N(z; m_k, D_k) N(z'; m'_k, D'_k), [B, K]; its softmax is the posterior of the cluster."""
        total = self.logits.log_softmax(0)
        for latent, mean, log_std in zip((z, z_prime), self.means, self.log_stds):
            squared = ((latent[:, None] - mean) * torch.exp(-log_std)) ** 2
            total = total - (0.5 * squared + log_std + 0.5 * math.log(2 * math.pi)).sum(2)
        return total

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        return self.log_components(z, z_prime).logsumexp(1)

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        k = torch.multinomial(self.logits.softmax(0), count, replacement=True, generator=generator)
        noise = [self.space.sample(self.means[0].new_empty(count, dim), generator) for _ in range(2)]
        return tuple(m[k] + s[k].exp() * e for m, s, e in zip(self.means, self.log_stds, noise))
