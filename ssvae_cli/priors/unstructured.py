"""Unstructured priors: P(z) alone, one x and one z."""

import math

import torch
from torch import Tensor

from ssvae_cli.priors.base import ExplicitPrior
from ssvae_cli.spaces import SPACES


class Unstructured(ExplicitPrior):
    """P(z) without a z'. With the implicit decoder the ELBO is -KL(Q(z) || P(z)) (Eq. 9): nothing but the shape of the
    marginal is asked for."""

    views = 1


class UnstructuredNormal(Unstructured):
    """P(z) = N(0, I). With an explicit decoder this is the prior of the ordinary VAE (Eq. 1)."""

    served_by = ("classifier", "telescoping", "aggregate", "logdet", "kde", "knn", "analytic")

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z), [B, D] -> [B], nats."""
        return self.space.log_prob(z)

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor]:
        return (self.space.sample(torch.empty(count, dim), generator),)


class UnstructuredLaplace(Unstructured):
    """P(z) = prod_d exp(-|z_d|) / 2: a sparse code."""

    served_by = ("classifier", "telescoping", "aggregate", "kde", "knn")

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z), [B, D] -> [B], nats."""
        return -z.abs().sum(1) - z.shape[1] * math.log(2)

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor]:
        sign, size = torch.rand(2, count, dim, generator=generator)
        return (torch.where(sign < 0.5, -1.0, 1.0) * -torch.log1p(-size),)


class UnstructuredSphere(UnstructuredNormal):
    """P(z) uniform on the unit sphere, by surface measure: uniformity (Wang & Isola 2020) and nothing else."""

    served_by = ("classifier", "telescoping", "aggregate", "kde", "knn")
    space = SPACES["sphere"]
