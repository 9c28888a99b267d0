"""Priors under which the latents are jointly normal: their marginals and conditionals, in every direction."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from ssvae_cli.distributions.covariance import cholesky
from ssvae_cli.priors.explicit import Block, ExplicitPrior


class NormalPrior(ExplicitPrior):
    """W_1 z_1 + ... + W_n z_n + c is standard normal in n D dimensions; a subclass gives the W and c.

    The precision of some latents given the others is W^T W = L L^T, W of these latents side by side, so that
    L^T z + L^-1 W^T (what the others give) is standard normal given the others."""

    @abstractmethod
    def whitening(self) -> tuple[tuple[Tensor, ...], Tensor]:
        """(W of each latent, [n D, D] each; c, [n D]). Side by side the W are block triangular, and each block on the
        diagonal is triangular."""

    def log_prob(self, *latents: Tensor) -> Tensor:
        whitening, shift = self.whitening()
        dim = latents[0].shape[-1]
        blocks = (w[i * dim : (i + 1) * dim] for i, w in enumerate(whitening))
        volume = sum(block.diagonal().abs().log().sum() for block in blocks)
        return self.space.log_prob(sum(z @ w.T for z, w in zip(latents, whitening)) + shift) + volume

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor:
        """log P(z, m) - log P(m|z) at the conditional mean m of the others, where the second is the largest."""
        others = self._others((side,))
        factor, pull, shift = self._given(others)
        mean = -torch.linalg.solve_triangular(factor.T, (z @ pull.T + shift).mT, upper=True).mT
        latents = mean.chunk(len(others), -1)
        joint = self.log_prob(*latents[:side], z, *latents[side:])
        return joint + 0.5 * mean.shape[-1] * math.log(2 * math.pi) - factor.diagonal().log().sum()

    def log_conditional(self, z: Tensor, *others: Tensor) -> Tensor:
        factor, pull, shift = self._given(self._others((0,)))
        white = joined(others) @ factor + z @ pull.T + shift
        return self.space.log_prob(white) + factor.diagonal().log().sum()

    def log_given(self, latents, side):
        others = joined([latents[view] for view in self._others((side,))])
        factor, pull, shift = self._given((side,))
        return log_normal_table(latents[side] @ factor, -(others @ pull.T + shift)) + factor.diagonal().log().sum()

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        whitening, shift = self.whitening()
        noise = torch.randn(count, len(shift), dtype=shift.dtype, device=shift.device, generator=generator)
        return torch.linalg.solve(torch.cat(whitening, 1), (noise - shift).T).T.chunk(self.views, dim=1)

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        factor, pull, shift = self._given(self._others((0,)))
        white = self.space.sample(z.repeat(1, self.views - 1), generator) - z @ pull.T - shift
        return torch.linalg.solve_triangular(factor.T, white.T, upper=True).T

    def _others(self, block: Block) -> Block:
        """The latents that are not in a block."""
        return tuple(view for view in range(self.views) if view not in block)

    def _given(self, block: Block) -> tuple[Tensor, Tensor, Tensor]:
        """(L, A, b) of the latents of a block given the others, each side joined: L^T z + A z' + b is standard normal;
        L lower triangular."""
        whitening, shift = self.whitening()
        own, others = (joined([whitening[view] for view in views]) for views in (block, self._others(block)))
        factor = cholesky(own.T @ own)
        pull = torch.linalg.solve_triangular(factor, own.T, upper=False)
        return factor, pull @ others, pull @ shift


def joined(sides: Sequence[Tensor]) -> Tensor:
    """The sides in one row, [..., sum of their widths]."""
    return sides[0] if len(sides) == 1 else torch.cat(tuple(sides), -1)


def log_normal_table(z: Tensor, means: Tensor) -> Tensor:
    """log N(z_i; means_j, I), [N, D] and [M, D] -> [N, M], nats, by one matrix product.

    In float64: |z|^2 is large where steps are small, and its float32 rounding would be that of the distances."""
    a, b = z.double(), means.double()
    of_a, of_b = (-0.5 * side.square().sum(1, keepdim=True) for side in (a, b))
    of_a = of_a - 0.5 * z.shape[1] * math.log(2 * math.pi)
    left, right = torch.cat([a, of_a, torch.ones_like(of_a)], 1), torch.cat([b, torch.ones_like(of_b), of_b], 1)
    return (left @ right.T).to(z)
