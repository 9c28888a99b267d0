"""The switching-dynamics prior: each step is one of several linear ones."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require_at_least, require_below_one
from ssvae_cli.priors.sequential import SequentialPrior


class SwitchingDynamics(SequentialPrior):
    """P(z'|z) = sum_k pi_k N(z'; A_k z + b_k, S_k), all learned: K regimes, one drawn anew at each step.

    With K = 1 it is `linear_dynamics` but for P(z_1). components: K. persistence: initially A_k = persistence I, each
    moved by a little so that they can part."""

    law = ("weights",)

    def __init__(self, *, latent_dim: int, components: int, persistence: float, views: int = 2, **common):
        super().__init__(views=views, **common)
        require_at_least(1, components=components)
        require_below_one(persistence=persistence)
        one = torch.eye(latent_dim).repeat(components, 1, 1)
        apart = (components > 1) * 0.3 / math.sqrt(latent_dim)
        self.logits = nn.Parameter(torch.zeros(components))
        self.matrix = nn.Parameter(persistence * one + apart * torch.randn_like(one))  # A_k
        self.shift = nn.Parameter(torch.zeros(components, latent_dim))  # b_k
        self.white_step = nn.Parameter(one / math.sqrt(1 - persistence**2))  # S_k = (W^T W)^-1, lower triangle

    @property
    def weights(self) -> Tensor:
        """pi, [K]."""
        return self.logits.softmax(0)

    def following(self, before):
        return MixtureOfSteps(self.logits.log_softmax(0), self.matrix, self.shift, self.white_step.tril(), before[-1])


class MixtureOfSteps:
    """sum_k pi_k N(A_k z + b_k, S_k) for each z, [B, D]. white: of each step, lower triangular, [K, D, D]."""

    stochastic = True

    def __init__(self, log_weights: Tensor, matrix: Tensor, shift: Tensor, white: Tensor, z: Tensor):
        self.log_weights, self.white = log_weights, white
        self.means = torch.einsum("kij,bj->bki", matrix, z) + shift  # [B, K, D]

    @property
    def mean(self) -> Tensor:
        return (self.log_weights.exp()[:, None] * self.means).sum(1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """[B, D], without gradient."""
        count, _, dim = self.means.shape
        k = torch.multinomial(self.log_weights.exp(), count, replacement=True, generator=generator)
        like = {"dtype": self.means.dtype, "device": self.means.device}
        noise = torch.randn(count, dim, 1, generator=generator, **like)
        step = torch.linalg.solve_triangular(self.white[k], noise, upper=False).squeeze(2)
        return self.means[torch.arange(count, device=k.device), k] + step

    def log_prob(self, z: Tensor) -> Tensor:
        """[B, D] -> [B], nats."""
        return self._log_density(z[..., None, :] - self.means)

    def log_prob_table(self, z: Tensor) -> Tensor:
        """[N, D] -> [N, B], nats."""
        return self._log_density(z[:, None, None] - self.means)

    def _log_density(self, residual: Tensor) -> Tensor:
        """[..., K, D] -> [...]."""
        white = torch.einsum("kij,...kj->...ki", self.white, residual)
        volume = self.white.diagonal(dim1=1, dim2=2).abs().log().sum(1) + self.log_weights
        return (volume - 0.5 * (white**2).sum(-1) - 0.5 * white.shape[-1] * math.log(2 * math.pi)).logsumexp(-1)
