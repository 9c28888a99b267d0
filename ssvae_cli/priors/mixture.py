"""The mixture prior: clusters, within which the latents are independent."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require_above, require_at_least
from ssvae_cli.priors.explicit import ExplicitPrior


class Mixture(ExplicitPrior):
    """P(z, z') = sum_k pi_k N(z; m_k, D_k) N(z'; m'_k, D'_k), all learned, the D diagonal; of n views, n factors.
    The views share nothing but the cluster, so I under the prior is at most log K: a clustering objective.
    components: K. spread: initial standard deviation of the centres; within a cluster it is initially 1."""

    law = ("weights",)

    def __init__(self, *, latent_dim: int, components: int, spread: float, views: int = 2, **common):
        super().__init__(**common)
        self.views = views
        require_at_least(1, components=components)
        require_above(0, spread=spread)
        centres = spread * torch.randn(components, latent_dim)
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.ParameterList([centres.clone() for _ in range(views)])
        self.log_stds = nn.ParameterList([torch.zeros(components, latent_dim) for _ in range(views)])

    @property
    def weights(self) -> Tensor:
        """pi, [K]."""
        return self.logits.softmax(0)

    def log_within(self, z: Tensor, side: int) -> Tensor:
        """log N(z; m_k, D_k) of one side in each cluster, [B, D] -> [B, K]."""
        mean, log_std = self.means[side], self.log_stds[side]
        squared = ((z[..., None, :] - mean) * torch.exp(-log_std)) ** 2
        return -(0.5 * squared + log_std + 0.5 * math.log(2 * math.pi)).sum(-1)

    def log_components(self, latents: dict[int, Tensor]) -> Tensor:
        """log pi_k times the densities in cluster k of the latents by side, [B, D] each -> [B, K]; its softmax is the
        posterior of the cluster."""
        log_p = self.logits.log_softmax(0)
        for side, z in latents.items():
            log_p = log_p + self.log_within(z, side)
        return log_p

    def log_prob(self, *latents: Tensor) -> Tensor:
        return self.log_components(dict(enumerate(latents))).logsumexp(-1)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor:
        return self.log_components({side: z}).logsumexp(-1)

    def clusters(self, z: Tensor) -> Tensor:
        return (self.logits + self.log_within(z, 0)).argmax(-1)

    def log_given(self, latents, side):
        """log sum_k P(k|the others of row j) N(z_i; m_k, D_k), by one matrix product over k; in float64, which holds
        what is 700 nats below the largest."""
        own = self.log_within(latents[side], side).double()
        others = {other: z for other, z in enumerate(latents) if other != side}
        cluster = self.log_components(others).double().log_softmax(1)
        largest = own.amax(1, keepdim=True).detach()
        tiny = torch.finfo(own.dtype).tiny
        log_p = ((own - largest).exp() @ cluster.exp().T).clamp_min(tiny).log() + largest
        return log_p.to(latents[side])

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        k = torch.multinomial(self.logits.softmax(0), count, replacement=True, generator=generator)
        noise = [self.space.sample(self.means[0].new_empty(count, dim), generator) for _ in self.means]
        return tuple(m[k] + s[k].exp() * e for m, s, e in zip(self.means, self.log_stds, noise))

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        k = torch.multinomial(self.log_components({0: z}).softmax(1), 1, generator=generator).squeeze(1)
        others = list(zip(self.means, self.log_stds))[1:]
        return torch.cat([m[k] + s[k].exp() * self.space.sample(z, generator) for m, s in others], 1)
