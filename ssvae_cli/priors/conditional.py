"""Priors that centre z' at z, each dimension apart: normal, Laplace and Student steps, in R^D or in the unit box."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ssvae_cli.distributions import laplace
from ssvae_cli.distributions.quadrature import legendre
from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.errors import require_above
from ssvae_cli.priors.explicit import ExplicitPrior
from ssvae_cli.priors.normal import log_normal_table


class Conditional(ExplicitPrior):
    """P(z) = N(0, I), or uniform on the unit box; P(z'_d|z_d) a density of (z'_d - z_d) / scale_d.

    In the box P(z'_d|z_d) is truncated at the walls and renormalised. Subclasses give, elementwise: log_step(step), log
    density of a unit step; log_mass(below, above), log of its mass between -below and above, both at least 0; and
    draw(like, generator), samples in the shape of `like`. scale: of the step; its initial value if learned.
    """

    law = ("scale",)
    fixed_by = {"learn": [False]}

    def __init__(self, *, latent_dim: int, scale: float, learn: bool, space: Literal["euclidean", "box"], **common):
        super().__init__(**common)
        require_above(0, scale=scale)
        self.log_scale = nn.Parameter(torch.full((latent_dim,), math.log(scale)), requires_grad=learn)
        self.space = SPACES[space]

    @property
    def scale(self) -> Tensor:
        """Of the step in each dimension, [D]."""
        return self.log_scale.exp()

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        return self.space.log_prob(z) + self.log_conditional(z, z_prime)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor | None:
        return self.space.log_prob(z) if side == 0 else None

    def log_conditional(self, z: Tensor, z_prime: Tensor) -> Tensor:
        return self._log_conditionals(z, z_prime).sum(-1)

    def log_prob_of_dimensions(self, z: Tensor, z_prime: Tensor) -> Tensor:
        return self.space.log_prob(z[..., None]) + self._log_conditionals(z, z_prime)

    def _log_conditionals(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log P(z'_d|z_d) of each coordinate."""
        log_p = self.log_step((z_prime - z) / self.scale) - self.log_scale
        return log_p - self.log_mass(z / self.scale, (1 - z) / self.scale) if self.space.name == "box" else log_p

    def log_given(self, latents, side):
        """Of z given z' it is the step from z' to z, a density too."""
        own, given = latents[side] / self.scale, latents[1 - side] / self.scale
        log_p = self.log_steps(given, own) - self.log_scale.sum()
        if self.space.name == "box":
            log_p = log_p - self.log_mass(given, 1 / self.scale - given).sum(-1)
        return log_p

    def log_steps(self, given: Tensor, own: Tensor) -> Tensor:
        """log density of the unit steps from each of `given`, [M, D], to each of `own`, [N, D]: [N, M], nats.

        A coordinate at a time: tables of [N, M] stay in a processor's cache, [N, M, D] does not."""
        return sum(self.log_step(to[:, None] - start) for to, start in zip(own.T, given.T))

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        z = self.space.sample(self.log_scale.new_empty(count, dim), generator)
        return z, self.sample_conditional(z, generator)

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        z_prime = z + self.scale * self.draw(z, generator)
        while self.space.name == "box" and (outside := (z_prime < 0) | (z_prime > 1)).any():
            z_prime = torch.where(outside, z + self.scale * self.draw(z, generator), z_prime)
        return z_prime


class Normal(Conditional):
    """P(z'|z) = N(z, diag(scale)^2): slow features, and the squared distance of a pair (Bardes et al. 2022)."""

    def log_step(self, step):
        return -0.5 * step**2 - 0.5 * math.log(2 * math.pi)

    def log_steps(self, given, own):
        return log_normal_table(own, given)

    def log_mass(self, below, above):
        return torch.log(0.5 * (torch.erf(below / math.sqrt(2)) + torch.erf(above / math.sqrt(2))))

    def draw(self, like, generator):
        return SPACES["euclidean"].sample(like, generator)


class Laplace(Conditional):
    """P(z'|z) = prod_d exp(-|z'_d - z_d| / b_d) / (2 b_d): sparse steps, most of them small (Klindt et al. 2021)."""

    def log_step(self, step):
        return -step.abs() - math.log(2)

    def log_steps(self, given, own):
        return -torch.cdist(own, given, p=1.0) - given.shape[1] * math.log(2)

    def log_mass(self, below, above):
        return torch.log(-0.5 * (torch.expm1(-below) + torch.expm1(-above)))

    def draw(self, like, generator):
        return laplace.sample(like, generator)


class Student(Conditional):
    """P(z'|z) = prod_d of Student's t with `df` degrees of freedom: mostly small steps, a few large ones."""

    def __init__(self, *, df: float, **common):
        super().__init__(**common)
        require_above(0, df=df)
        self.df = df
        self.log_constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)

    def log_step(self, step):
        return self.log_constant - 0.5 * (self.df + 1) * torch.log1p(step**2 / self.df)

    def log_mass(self, below, above):
        return torch.log(self._half_mass(below) + self._half_mass(above))

    def _half_mass(self, end: Tensor) -> Tensor:
        """Mass between 0 and `end`, by Gauss-Legendre over the angle of x = sqrt(df) tan(angle), where it is smooth."""
        farthest = min(math.pi / 2, 9 / math.sqrt(max(self.df - 1, 1e-9)))  # past it cos^(df - 1) is below 1e-16
        angle = torch.atan(end / math.sqrt(self.df)).clamp_max(farthest)
        nodes, weights = legendre(end, 48)
        angles = 0.5 * angle[..., None] * (1 + nodes)
        log_cosine = 0.5 * torch.log1p(-angles.sin().square())  # the log of a rounded cosine is off by df roundings
        density = torch.exp((self.df - 1) * log_cosine + self.log_constant) * math.sqrt(self.df)
        return 0.5 * angle * (density * weights).sum(-1)

    def draw(self, like, generator):
        # A normal variable over the root of chi^2 / df; chi^2 / 2 is a gamma variable.
        with own_stream(generator, like.device):
            gamma = torch.distributions.Gamma(like.new_tensor(self.df / 2), like.new_tensor(1.0)).sample(like.shape)
            return torch.randn_like(like) * (0.5 * self.df / gamma).sqrt()
