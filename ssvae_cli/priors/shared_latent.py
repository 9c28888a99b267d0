"""The shared-latent prior: every view's latent is a common one plus independent noise."""

import itertools
import math

import torch
from torch import Tensor, nn

from ssvae_cli.distributed.collectives import world_size
from ssvae_cli.distributions import laplace
from ssvae_cli.errors import require_above
from ssvae_cli.priors.explicit import AT_ONCE, ExplicitPrior, own_and_rest

FAR = -30.0  # standard deviations from the mean of a truncated normal


class SharedLatent(ExplicitPrior):
    """z_i = s + e_i, s Laplace of scale b, the e_i normal of standard deviation sigma; s integrated out.

    Per dimension, log P(z_1..z_n) = log p(m) - 1/2 sum_i (z_i - m)^2 / sigma^2 - 1/2 log n (2 pi sigma^2)^(n - 1), m
    the mean of the z_i, p the convolution of Laplace(b) and N(0, sigma^2 / n) in closed form. With s normal it would
    be `gaussian` again.
    scale, noise: b and sigma; their initial values if learned, one per dimension.
    """

    law = ("scale", "noise")
    fixed_by = {"learn": [False]}

    def __init__(self, *, latent_dim: int, scale: float, noise: float, learn: bool, views: int = 2, **common):
        super().__init__(**common)
        self.views = views
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

    def log_prob(self, *latents: Tensor) -> Tensor:
        return self.log_prob_of_dimensions(*latents).sum(-1)

    def log_prob_of_dimensions(self, *latents: Tensor) -> Tensor:
        """Of any number of latents. The squared distances from the mean are those of all pairs over n."""
        n = len(latents)
        squared = sum(((z - other) / self.noise) ** 2 for z, other in itertools.combinations(latents, 2))
        constant = 0.5 * math.log(n * (2 * math.pi) ** (n - 1))
        apart = -0.5 / n * squared - constant - (n - 1) * self.log_noise
        middle = laplace.log_convolved(sum(latents) / n, self.scale, self.noise / math.sqrt(n))
        return apart + middle

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor:
        return self.log_prob(z)

    def log_given(self, latents, side):
        others = latents[:side] + latents[side + 1 :]
        return self.log_prob(*others[:side], latents[side][:, None], *others[side:]) - self.log_prob(*others)

    def log_mixtures(self, latents):
        """The table log P(z_i, z'_j) of pairs serves both sides and takes nearly all of a step: where one process
        keeps it whole, it is computed once."""
        if len(latents) != 2 or world_size() > 1 or latents[0].numel() * len(latents[0]) > AT_ONCE:
            return super().log_mixtures(latents)
        (z, z_prime), tables = latents, []

        def of_side(side: int) -> tuple[Tensor, Tensor]:
            if not tables:
                tables.append(self.log_prob(z[:, None], z_prime))
            table = tables[0] if side == 0 else tables[0].T
            own = torch.arange(len(z), device=z.device)
            return own_and_rest(table - self.log_marginal(latents[1 - side]), own).unbind(1)

        return of_side

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        like = self.log_scale.new_empty(count, dim)
        s = laplace.sample(like, generator) * self.scale
        return tuple(s + self.space.sample(like, generator) * self.noise for _ in range(self.views))

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """P(s|z) is by the sign of s one of two truncated normals: |s| of N(+-z - sigma^2 / b, sigma^2), above 0."""
        b, sigma, x = self.scale.double(), self.noise.double(), z.double()
        log_right = -x / b + torch.special.log_ndtr(x / sigma - sigma / b)
        log_left = x / b + torch.special.log_ndtr(-x / sigma - sigma / b)
        choose, u = (torch.rand(z.shape, dtype=x.dtype, device=z.device, generator=generator) for _ in "su")
        sign = torch.where(choose < torch.sigmoid(log_right - log_left), 1.0, -1.0)
        mean, surprise = sign * x / sigma - sigma / b, -torch.log1p(-u)  # of |s| / sigma; standard exponential
        near = mean - torch.special.ndtri((1 - u) * 0.5 * torch.erfc(-mean / math.sqrt(2)))
        far = 2 * surprise / ((mean.square() + 2 * surprise).sqrt() - mean)  # in the tail, where the mass underflows
        s = (sign * sigma * torch.where(mean > FAR, near, far).clamp_min(0)).to(z)
        return torch.cat([s + self.noise * self.space.sample(z, generator) for _ in range(self.views - 1)], 1)
