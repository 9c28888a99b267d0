"""The mixture prior: clusters, within which z and z' are independent."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require_above, require_at_least
from ssvae_cli.priors.explicit import ExplicitPrior


class Mixture(ExplicitPrior):
    """P(z, z') = sum_k pi_k N(z; m_k, D_k) N(z'; m'_k, D'_k), all learned, the D diagonal.
    z and z' share nothing but the cluster, so I under the prior is at most log K: a clustering objective.
    components: K. spread: initial standard deviation of the centres; within a cluster it is initially 1."""

    law = ("weights",)

    def __init__(self, *, latent_dim: int, components: int, spread: float, **common):
        super().__init__(**common)
        require_at_least(1, components=components)
        require_above(0, spread=spread)
        centres = spread * torch.randn(components, latent_dim)
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.ParameterList([centres.clone(), centres.clone()])
        self.log_stds = nn.ParameterList([torch.zeros(components, latent_dim) for _ in range(2)])

    @property
    def weights(self) -> Tensor:
        """pi, [K]."""
        return self.logits.softmax(0)

    def log_within(self, z: Tensor, side: int) -> Tensor:
        """log N(z; m_k, D_k) of one side in each cluster, [B, D] -> [B, K]."""
        mean, log_std = self.means[side], self.log_stds[side]
        squared = ((z[..., None, :] - mean) * torch.exp(-log_std)) ** 2
        return -(0.5 * squared + log_std + 0.5 * math.log(2 * math.pi)).sum(-1)

    def log_components(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log pi_k N(z; m_k, D_k) N(z'; m'_k, D'_k), [B, K]; its softmax is the posterior of the cluster."""
        return self.logits.log_softmax(0) + self.log_within(z, 0) + self.log_within(z_prime, 1)

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        return self.log_components(z, z_prime).logsumexp(-1)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor:
        return (self.logits.log_softmax(0) + self.log_within(z, side)).logsumexp(-1)

    def clusters(self, z: Tensor) -> Tensor:
        return (self.logits + self.log_within(z, 0)).argmax(-1)

    def log_given(self, latents, side):
        """log sum_k P(k|z'_j) N(z_i; m_k, D_k), by one matrix product over k."""
        own = self.log_within(latents[side], side)
        cluster = (self.logits.log_softmax(0) + self.log_within(latents[1 - side], 1 - side)).log_softmax(1)
        largest = own.amax(1, keepdim=True).detach()
        tiny = torch.finfo(own.dtype).tiny
        return ((own - largest).exp() @ cluster.exp().T).clamp_min(tiny).log() + largest

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        k = torch.multinomial(self.logits.softmax(0), count, replacement=True, generator=generator)
        noise = [self.space.sample(self.means[0].new_empty(count, dim), generator) for _ in range(2)]
        return tuple(m[k] + s[k].exp() * e for m, s, e in zip(self.means, self.log_stds, noise))

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        cluster = (self.logits.log_softmax(0) + self.log_within(z, 0)).softmax(1)
        k = torch.multinomial(cluster, 1, generator=generator).squeeze(1)
        return self.means[1][k] + self.log_stds[1][k].exp() * self.space.sample(z, generator)
