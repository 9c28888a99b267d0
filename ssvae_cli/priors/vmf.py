"""The von Mises-Fisher prior: z uniform on the sphere, z' near it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.distributions.von_mises_fisher import log_normaliser, sample
from ssvae_cli.errors import require, require_above
from ssvae_cli.layers import mlp, require_widths
from ssvae_cli.priors.explicit import ExplicitPrior


class VMF(ExplicitPrior):
    """P(z) uniform on the unit sphere, P(z'|z) = vMF(m(z), kappa), m(z) = z or a network's output, normalised.
    log P(z, z') = -log area + log C_d(kappa) + kappa m(z)^T z', by surface measure: SimCLR's positive term is the
    log-likelihood of this prior (Zimmermann et al. 2021). concentration: kappa; its initial value if learned.
    predictor: widths of that network's hidden layers, as in BYOL; None: m(z) = z."""

    space = SPACES["sphere"]
    law = ("concentration",)

    def __init__(
        self, *, latent_dim: int, concentration: float, learn: bool, predictor: list[int] | None = None, **common
    ):
        super().__init__(**common)
        require(latent_dim >= 2, f"a sphere needs encoder.latent_dim of at least 2, got {latent_dim}")
        require_above(0, concentration=concentration)
        self.log_concentration = nn.Parameter(torch.tensor(math.log(concentration)), requires_grad=learn)
        if predictor is not None:
            require_widths("predictor", predictor)
        self.predictor = None if predictor is None else mlp([latent_dim, *predictor, latent_dim])

    @property
    def concentration(self) -> Tensor:
        """kappa, []."""
        return self.log_concentration.exp()

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        return self.space.log_prob(z) + self.log_conditional(z, z_prime)

    def mean(self, z: Tensor) -> Tensor:
        """m(z), [..., D] of length 1."""
        return z if self.predictor is None else F.normalize(self.predictor(z), dim=-1)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor | None:
        return self.space.log_prob(z) if side == 0 or self.predictor is None else None

    def log_conditional(self, z: Tensor, z_prime: Tensor) -> Tensor:
        kappa = self.concentration
        return log_normaliser(kappa, z.shape[-1]) + kappa * (self.mean(z) * z_prime).sum(-1)

    def log_given(self, latents, side):
        kappa, own, other = self.concentration, latents[side], latents[1 - side]
        return log_normaliser(kappa, own.shape[1]) + kappa * own @ self.mean(other).T

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        z = self.space.sample(self.log_concentration.new_empty(count, dim), generator)
        return z, self.sample_conditional(z, generator)

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return sample(self.mean(z), self.concentration, generator)
