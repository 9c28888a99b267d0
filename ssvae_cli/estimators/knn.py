"""Entropy by nearest neighbours."""

import math

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.distributions.spaces import Euclidean, log_area
from ssvae_cli.errors import require, require_at_least
from ssvae_cli.estimators.base import EntropyEstimator


class KNN(EntropyEstimator):
    """H(z) = digamma(B) - digamma(k) + E log volume of the ball that reaches the k-th neighbour of z_i.

    In coordinates of covariance I; on the sphere the ball is a cap. Relation to I: none. Relation to the ELBO: its
    estimate, without bias while the density is even within the ball; biased up in many dimensions, where the k-th
    neighbour is far. No ceiling; variance falls as k grows. Source: Kozachenko & Leonenko 1987.
    k: which neighbour.
    """

    name = "knn"

    def __init__(self, *, k: int):
        super().__init__()
        require_at_least(1, k=k)
        self.k = k

    def forward(self, z, *, posterior, space, side):
        count, dim = z.shape
        require(self.k < count, f"k must be below the batch's {count} samples, got {self.k}")
        evenly = (torch.digamma(z.new_tensor(float(count))) - torch.digamma(z.new_tensor(float(self.k)))).item()
        if space.name == "sphere":
            chord = self._distance(z)
            return evenly + _log_cap(2 * torch.asin((chord / 2).clamp_max(1 - 1e-6)), dim).mean()
        u, log_jacobian = Euclidean.standardiser(z)(z)
        log_unit_ball = 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim + 1)
        return evenly + log_unit_ball + dim * self._distance(u).log().mean() - log_jacobian.mean()

    def _distance(self, u: Tensor) -> Tensor:
        """From each sample to its k-th neighbour, [B]; differentiable, and above 0 where two samples are one."""
        with torch.no_grad():
            nearest = torch.cdist(u, u).fill_diagonal_(math.inf).kthvalue(self.k, dim=1).indices
        return ((u - u[nearest]).square().sum(1) + 1e-12).sqrt()


def _log_cap(angle: Tensor, dim: int) -> Tensor:
    """log area of the cap within `angle` of a point of the unit sphere in R^dim: area(dim - 1) int sin^(dim - 2)."""
    nodes, weights = (angle.new_tensor(a) for a in np.polynomial.legendre.leggauss(64))
    at = 0.5 * angle[:, None] * (1 + nodes)
    return log_area(dim - 1) + (weights.log() + (dim - 2) * at.sin().log()).logsumexp(1) + (0.5 * angle).log()
