"""The linear-dynamics prior: z' follows z by a linear step with normal noise."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.distributions.spaces import cholesky
from ssvae_cli.errors import require
from ssvae_cli.priors.base import ExplicitPrior


class LinearDynamics(ExplicitPrior):
    """P(z) = N(m, S0), P(z'|z) = N(A z + b, S), all learned: slow features, oscillations, a Kalman filter's model.

    stationary: z' is distributed as z, S0 = A S0 A^T + S, with the spectral radius of A below 1. Every such model is
    z = m + L u, with u' = C u + noise for a contraction C = K^-1 M, K K^T = I + M M^T: then A = L C L^-1 and
    S = L K^-1 K^-T L^T for any lower triangular L and any M: nothing is solved for, and no parameter is constrained.
    persistence: C = persistence I initially, in [0, 1).
    """

    def __init__(self, *, latent_dim: int, stationary: bool, persistence: float):
        super().__init__()
        require(0 <= persistence < 1, f"persistence must lie in [0, 1), got {persistence}")
        one, strength = torch.eye(latent_dim), persistence / math.sqrt(1 - persistence**2)
        self.stationary = stationary
        self.mean = nn.Parameter(torch.zeros(latent_dim))
        self.white = nn.Parameter(one.clone())  # L^-1: lower triangle
        if stationary:
            self.pull = nn.Parameter(strength * one)  # M
        else:
            self.matrix = nn.Parameter(persistence * one)  # A
            self.shift = nn.Parameter(torch.zeros(latent_dim))  # b
            self.white_step = nn.Parameter(one / math.sqrt(1 - persistence**2))  # S = (W^T W)^-1, lower triangle

    def parameters_of_the_step(self) -> tuple[Tensor, Tensor, Tensor]:
        """(A [D, D], b [D], S [D, D])."""
        if not self.stationary:
            root = torch.linalg.inv(self.white_step.tril())
            return self.matrix, self.shift, root @ root.T
        root, k = torch.linalg.inv(self.white.tril()), self._k()
        a = root @ torch.linalg.solve(k, self.pull) @ self.white.tril()
        step = root @ torch.linalg.inv(k)
        return a, self.mean - a @ self.mean, step @ step.T

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        white = self.white.tril()
        u = (z - self.mean) @ white.T
        if self.stationary:
            k = self._k()
            step = (z_prime - self.mean) @ white.T @ k.T - u @ self.pull.T
            volume = _log_det(white) + _log_det(k)
        else:
            white_step = self.white_step.tril()
            step = (z_prime - z @ self.matrix.T - self.shift) @ white_step.T
            volume = _log_det(white_step)
        return self.space.log_prob(u) + _log_det(white) + self.space.log_prob(step) + volume

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        a, b, s = self.parameters_of_the_step()
        u, e = (self.space.sample(self.mean.new_empty(count, dim), generator) for _ in range(2))
        z = self.mean + torch.linalg.solve_triangular(self.white.tril(), u.T, upper=False).T
        return z, z @ a.T + b + e @ cholesky(s).T

    def _k(self) -> Tensor:
        one = torch.eye(len(self.pull), dtype=self.pull.dtype, device=self.pull.device)
        return cholesky(one + self.pull @ self.pull.T)


def _log_det(triangular: Tensor) -> Tensor:
    return triangular.diagonal().abs().log().sum()
