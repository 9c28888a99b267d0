"""The linear-dynamics prior: each latent follows the one before it by a linear step with normal noise."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.distributions.covariance import cholesky
from ssvae_cli.errors import require_below_one
from ssvae_cli.priors.normal import NormalPrior


class LinearDynamics(NormalPrior):
    """P(z) = N(m, S0), P(z'|z) = N(A z + b, S), all learned: slow features, oscillations, a Kalman filter's model.
    Of n views it is the Markov chain z_1, ..., z_n of that step.

    stationary: z' is distributed as z, S0 = A S0 A^T + S, with the spectral radius of A below 1. Every such model is
    z = m + L u, with u' = C u + noise for a contraction C = K^-1 M, K K^T = I + M M^T: then A = L C L^-1 and
    S = L K^-1 K^-T L^T for any lower triangular L and any M: nothing is solved for, and no parameter is constrained.
    persistence: C = persistence I initially, in [0, 1).
    """

    law = ("spectral_radius",)

    def __init__(self, *, latent_dim: int, stationary: bool, persistence: float, views: int = 2, **common):
        super().__init__(**common)
        self.views = views
        require_below_one(persistence=persistence)
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

    @property
    def transition(self) -> Tensor:
        """A, [D, D]."""
        return self.parameters_of_the_step()[0]

    @property
    def spectral_radius(self) -> Tensor:
        """Of A, []: below 1 in a stationary process."""
        return torch.linalg.eigvals(self.transition).abs().max()

    def whitening(self):
        """z_1 - m, white, and every step, white."""
        white = self.white.tril()
        if self.stationary:
            from_z, to_z_prime = -self.pull @ white, self._k() @ white
            shift = -(from_z + to_z_prime) @ self.mean
        else:
            to_z_prime = self.white_step.tril()
            from_z, shift = -to_z_prime @ self.matrix, -to_z_prime @ self.shift
        zero, more = torch.zeros_like(white), self.views - 1
        rows = [[white, *[zero] * more]]
        rows += [[*[zero] * step, from_z, to_z_prime, *[zero] * (more - 1 - step)] for step in range(more)]
        whitening = tuple(torch.cat(blocks) for blocks in zip(*rows))
        return whitening, torch.cat([-white @ self.mean, *[shift] * more])

    def _k(self) -> Tensor:
        one = torch.eye(len(self.pull), dtype=self.pull.dtype, device=self.pull.device)
        return cholesky(one + self.pull @ self.pull.T)
