"""The shared-latent prior: z and z' are a common latent s plus independent noise."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.distributions import laplace
from ssvae_cli.errors import require_above
from ssvae_cli.priors.explicit import ExplicitPrior


class SharedLatent(ExplicitPrior):
    """z = s + e, z' = s + e', s Laplace of scale b, e and e' normal of standard deviation sigma; s integrated out.

    Per dimension, log P(z, z') = log N(z - z'; 0, 2 sigma^2) + log p(m), m = (z + z') / 2, p the convolution of
    Laplace(b) and N(0, sigma^2 / 2) in closed form. With s normal it would be `gaussian` again.
    scale, noise: b and sigma; their initial values if learned, one per dimension.
    """

    law = ("scale", "noise")

    def __init__(self, *, latent_dim: int, scale: float, noise: float, learn: bool, **common):
        super().__init__(**common)
        require_above(0, scale=scale, noise=noise)
        self.log_scale = nn.Parameter(torch.full((latent_dim,), math.log(scale)), requires_grad=learn)
        self.log_noise = nn.Parameter(torch.full((latent_dim,), math.log(noise)), requires_grad=learn)

    @property
    def scale(self) -> Tensor:
        """b of each dimension, [D]."""
        return self.log_scale.exp()

    @property
    def noise(self) -> Tensor:
        """sigma of each dimension, [D]."""
        return self.log_noise.exp()

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        apart = -0.25 * ((z - z_prime) / self.noise) ** 2 - 0.5 * math.log(4 * math.pi) - self.log_noise
        middle = laplace.log_convolved(0.5 * (z + z_prime), self.scale, self.noise / math.sqrt(2))
        return (apart + middle).sum(-1)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor:
        return laplace.log_convolved(z, self.scale, self.noise).sum(-1)

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        like = self.log_scale.new_empty(count, dim)
        s = laplace.sample(like, generator) * self.scale
        e, e_prime = (self.space.sample(like, generator) * self.noise for _ in range(2))
        return s + e, s + e_prime

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """P(s|z) is one of two truncated normals, by the sign of s: N(z -+ sigma^2 / b, sigma^2)."""
        b, sigma = self.scale, self.noise
        shift = sigma**2 / b
        log_right = -z / b + torch.special.log_ndtr((z - shift) / sigma)
        log_left = z / b + torch.special.log_ndtr(-(z + shift) / sigma)
        like = torch.empty_like(z)
        choose, u = (torch.rand(like.shape, dtype=like.dtype, device=like.device, generator=generator) for _ in "su")
        sign = torch.where(choose < torch.sigmoid(log_right - log_left), 1.0, -1.0)
        below = torch.special.ndtr(-(sign * z - shift) / sigma)  # of |s| = 0 under N(sign z - shift, sigma^2)
        tail = ((1 - u) * (1 - below)).clamp_min(torch.finfo(z.dtype).tiny)
        size = sign * z - shift - sigma * torch.special.ndtri(tail)
        return sign * size.clamp_min(0) + self.noise * self.space.sample(z, generator)
