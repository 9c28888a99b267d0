"""The shared-latent prior: z and z' are a common latent s plus independent noise."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.distributions import laplace
from ssvae_cli.errors import require_above
from ssvae_cli.priors.base import ExplicitPrior


class SharedLatent(ExplicitPrior):
    """z = s + e, z' = s + e', s Laplace of scale b, e and e' normal of standard deviation sigma; s integrated out.

    Per dimension, log P(z, z') = log N(z - z'; 0, 2 sigma^2) + log p(m), m = (z + z') / 2, p the convolution of
    Laplace(b) and N(0, sigma^2 / 2) in closed form. With s normal it would be `gaussian` again.
    scale, noise: b and sigma; their initial values if learned, one per dimension.
    """

    def __init__(self, *, latent_dim: int, scale: float, noise: float, learn: bool):
        super().__init__()
        require_above(0, scale=scale, noise=noise)
        self.log_scale = nn.Parameter(torch.full((latent_dim,), math.log(scale)), requires_grad=learn)
        self.log_noise = nn.Parameter(torch.full((latent_dim,), math.log(noise)), requires_grad=learn)

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        b, sigma = self.log_scale.exp(), self.log_noise.exp()
        apart = -0.25 * ((z - z_prime) / sigma) ** 2 - 0.5 * math.log(4 * math.pi) - self.log_noise
        m, tau = 0.5 * (z + z_prime), sigma / math.sqrt(2)
        right, left = (s * m / b + torch.special.log_ndtr(-s * m / tau - tau / b) for s in (1, -1))
        middle = 0.5 * (tau / b) ** 2 - math.log(2) - self.log_scale + torch.logaddexp(left, right)
        return (apart + middle).sum(1)

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        like = self.log_scale.new_empty(count, dim)
        s = laplace.sample(like, generator) * self.log_scale.exp()
        e, e_prime = (self.space.sample(like, generator) * self.log_noise.exp() for _ in range(2))
        return s + e, s + e_prime
