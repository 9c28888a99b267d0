"""Priors under which (z, z') is jointly normal: their marginals and conditionals, in both directions."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from ssvae_cli.distributions.spaces import cholesky
from ssvae_cli.priors.explicit import ExplicitPrior


class NormalPrior(ExplicitPrior):
    """F z + G z' + c is standard normal in 2 D dimensions; a subclass gives F, G and c.

    The precision of z given z' is F^T F = L L^T, so that L^T z + L^-1 F^T (G z' + c) is standard normal given z'."""

    @abstractmethod
    def whitening(self) -> tuple[Tensor, Tensor, Tensor]:
        """(F [2 D, D], G [2 D, D], c [2 D]); the upper block of F and the lower of G are triangular, and the lower of F
        or the upper of G is 0."""

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        f, g, c = self.whitening()
        volume = f.diagonal().abs().log().sum() + g[len(g) // 2 :].diagonal().abs().log().sum()
        return self.space.log_prob(z @ f.T + z_prime @ g.T + c) + volume

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor:
        """log P(z, m) - log P(m|z) at the conditional mean m, where the second is the largest."""
        factor, pull, shift = self._given(1 - side)
        mean = -torch.linalg.solve_triangular(factor.T, (z @ pull.T + shift).mT, upper=True).mT
        joint = self.log_prob(z, mean) if side == 0 else self.log_prob(mean, z)
        return joint + 0.5 * z.shape[-1] * math.log(2 * math.pi) - factor.diagonal().log().sum()

    def log_conditional(self, z: Tensor, z_prime: Tensor) -> Tensor:
        factor, pull, shift = self._given(1)
        return self.space.log_prob(z_prime @ factor + z @ pull.T + shift) + factor.diagonal().log().sum()

    def log_given(self, latents, side):
        own, other = latents[side], latents[1 - side]
        factor, pull, shift = self._given(side)
        return log_normal_table(own @ factor, -(other @ pull.T + shift)) + factor.diagonal().log().sum()

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        f, g, c = self.whitening()
        noise = torch.randn(count, 2 * dim, dtype=f.dtype, device=f.device, generator=generator)
        return torch.linalg.solve(torch.cat([f, g], 1), (noise - c).T).T.chunk(2, dim=1)

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        factor, pull, shift = self._given(1)
        white = self.space.sample(z, generator) - z @ pull.T - shift
        return torch.linalg.solve_triangular(factor.T, white.T, upper=True).T

    def _given(self, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """(L, A, b) of one side given the other: L^T z + A z' + b is standard normal; L lower triangular."""
        f, g, c = self.whitening()
        own, other = (f, g) if side == 0 else (g, f)
        factor = cholesky(own.T @ own)
        pull = torch.linalg.solve_triangular(factor, own.T, upper=False)
        return factor, pull @ other, pull @ c


def log_normal_table(z: Tensor, means: Tensor) -> Tensor:
    """log N(z_i; means_j, I), [N, D] and [M, D] -> [N, M], nats, by one matrix product."""
    squared = (z**2).sum(1)[:, None] + (means**2).sum(1) - 2 * z @ means.T
    return -0.5 * squared - 0.5 * z.shape[1] * math.log(2 * math.pi)
