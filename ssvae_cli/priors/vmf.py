"""The von Mises-Fisher prior: latents near each other on the sphere."""

import math
from typing import Literal

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
    predictor: widths of that network's hidden layers, as in BYOL; None: m(z) = z.

    centre: what the latents are about. `first`: z_2, ..., z_n are vMF(m(z_1), kappa), which is the above of a pair.
    `shared`: z_1, ..., z_n are vMF(m, kappa), m uniform and integrated out, so that all views have one law:
    log P = -log area + n log C_d(kappa) - log C_d(kappa |z_1 + ... + z_n|). None: first for pairs, shared for more.
    """

    space = SPACES["sphere"]
    law = ("concentration",)
    fixed_by = {"learn": [False], "predictor": [None]}

    def __init__(
        self,
        *,
        latent_dim: int,
        concentration: float,
        learn: bool,
        centre: Literal["first", "shared"] | None = None,
        predictor: list[int] | None = None,
        views: int = 2,
        **common,
    ):
        super().__init__(**common)
        self.views, self.shared = views, centre == "shared" or (centre is None and views > 2)
        of_pairs = f"predictor={predictor}, a network from z to the mean of z', needs 2 views and centre=first"
        found = f"{views} views and centre={'shared' if self.shared else 'first'}"
        require(predictor is None or (views == 2 and not self.shared), f"{of_pairs}, got {found}")
        require_above(0, concentration=concentration)
        self.log_concentration = nn.Parameter(torch.tensor(math.log(concentration)), requires_grad=learn)
        if predictor is not None:
            require_widths("predictor", predictor)
        self.predictor = None if predictor is None else mlp([latent_dim, *predictor, latent_dim])

    @property
    def concentration(self) -> Tensor:
        """kappa, []."""
        return self.log_concentration.exp()

    def log_prob(self, *latents: Tensor) -> Tensor:
        return self.space.log_prob(latents[0]) + self.log_conditional(*latents)

    def mean(self, z: Tensor) -> Tensor:
        """m(z), [..., D] of length 1."""
        return z if self.predictor is None else F.normalize(self.predictor(z), dim=-1)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor | None:
        return self.space.log_prob(z) if side == 0 or self.predictor is None else None

    def log_conditional(self, z: Tensor, *others: Tensor) -> Tensor:
        kappa, dim = self.concentration, z.shape[-1]
        if self.shared:
            of_each = (1 + len(others)) * log_normaliser(kappa, dim)
            return of_each - self._log_integral((z + sum(others)).square().sum(-1), dim)
        return len(others) * log_normaliser(kappa, dim) + kappa * (self.mean(z) * sum(others)).sum(-1)

    def log_given(self, latents, side):
        own, others = latents[side], latents[:side] + latents[side + 1 :]
        kappa, dim, total = self.concentration, own.shape[1], sum(others)
        if self.shared:
            squared = (own**2).sum(1)[:, None] + (total**2).sum(1) + 2 * own @ total.T
            rest = self._log_integral((total**2).sum(1), dim)
            return log_normaliser(kappa, dim) + rest - self._log_integral(squared, dim)
        if side > 0 or len(others) == 1:
            return log_normaliser(kappa, dim) + kappa * own @ self.mean(latents[0 if side else 1]).T
        return self._log_integral((total**2).sum(1), dim) + kappa * own @ total.T

    def _log_integral(self, squared: Tensor, dim: int) -> Tensor:
        """log C_d(kappa |s|) of |s|^2, elementwise."""
        length = squared.clamp_min(torch.finfo(squared.dtype).eps).sqrt()
        return log_normaliser(self.concentration * length, dim)

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        z = self.space.sample(self.log_concentration.new_empty(count, dim), generator)
        return z, *self.sample_conditional(z, generator).chunk(self.views - 1, 1)

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        near = lambda mean: sample(mean, self.concentration, generator)
        centre = near(z) if self.shared else self.mean(z)  # given z_1, m is vMF(z_1, kappa)
        return torch.cat([near(centre) for _ in range(self.views - 1)], 1)
