"""Entropies without a network to train."""

import math

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.distributions.spaces import Euclidean, digamma, log_area
from ssvae_cli.distributions.von_mises_fisher import log_normaliser
from ssvae_cli.errors import require, require_at_least
from ssvae_cli.estimators.base import EntropyEstimator


class LogDet(EntropyEstimator):
    """H(z) = 1/2 log det(2 pi e Sigma), Sigma the batch's covariance, less the known bias on normal data.
    Relation to I: none. Relation to the ELBO: biased up (a normal has the largest entropy of its covariance), exact if
    z is normal. No ceiling; low variance if B >> D. Source: Cover & Thomas, thm 8.6.5; Ahmed & Gokhale 1989 (bias)."""

    name = "logdet"
    spaces = frozenset({"euclidean"})

    def forward(self, z, *, posterior, space, side, mixture=None):
        return Euclidean.largest_entropy(z)


class Aggregate(EntropyEstimator):
    """H(z) = -E log 1/B sum_j Q(z_i|x_j), the anchor's own posterior included.

    For stochastic posteriors only: that of a deterministic encoder is a delta. Relation to I: none. Relation to the
    ELBO: biased down, as the own term makes the mean too large. Ceiling: H(z|x) + log B per entropy. Low variance.
    Source: Tomczak & Welling 2018; Chen et al. 2018 (minibatch estimates of the aggregate posterior).
    """

    name = "aggregate"
    needs_density = True  # of Q(z|x)

    def forward(self, z, *, posterior, space, side, mixture=None):
        return math.log(len(z)) - posterior.log_prob_table(z).logsumexp(1).mean()


class Conditionals(EntropyEstimator):
    """H(z) = -E log 1/B sum_j P(z_i|z'_j): the cross-entropy of a mixture of the prior's own conditionals, at most the
    largest entropy that z can have: of a normal of its covariance, or of the uniform density on a sphere or in a box.

    With the mixture E log P(z'|z) + H(z') is K-way InfoNCE whose critic is P(z'|z), the positive among the K = B
    candidates: `prior.marginal=encoder estimator=conditionals` is a contrastive loss with the prior's parameters for
    temperature. The other bound holds H(z) where no z' predicts z, as at the start; without it an encoder that moves z'
    away from what P expects makes H(z) as large as it likes. Relation to I: E log P(z'|z) + H(z') is at most I and at
    most log B. Relation to the ELBO: biased up by KL(Q(z) || mixture), and down by the own term where I is near log B.
    Ceiling: that largest entropy. Low variance. Source: van den Oord et al. 2018 (the bound); Zimmermann et al. 2021.
    """

    name = "conditionals"
    needs_partner = True  # z' of the same pair
    prior_lr = 5.0

    def forward(self, z, *, posterior, space, side, mixture=None):
        return torch.minimum(-mixture().mean(), space.largest_entropy(z))


class KDE(EntropyEstimator):
    """H(z) = -E log 1/(B-1) sum_{j != i} k(z_i, z_j), each sample left out of its own density.

    k: a normal kernel of variance B^(-2/(D+4)) in coordinates of covariance I (Scott 1992); on the sphere a von
    Mises-Fisher kernel of that width relative to the samples' own. Relation to I: none. Relation to the ELBO: biased
    up, by much in many dimensions, where the kernel is too wide for the data. No ceiling; moderate variance.
    Source: Joe 1989 (the resubstitution estimate, leaving one out).
    """

    name = "kde"

    def forward(self, z, *, posterior, space, side, mixture=None):
        count, dim = z.shape
        if space.name == "sphere":  # Scott's factor times the samples' variance along each of the D - 1 tangents
            variance = (1 - z.detach().mean(0).square().sum()).clamp_min(1e-6) / (dim - 1)
            kappa = count ** (2 / (dim + 3)) / variance
            return -_leave_one_out(kappa * z @ z.T + log_normaliser(kappa, dim))
        u, log_jacobian = Euclidean.standardiser(z)(z)
        variance = count ** (-2 / (dim + 4))
        kernel = -0.5 * torch.cdist(u, u).square() / variance - 0.5 * dim * math.log(2 * math.pi * variance)
        return -_leave_one_out(kernel) - log_jacobian.mean()


def _leave_one_out(kernel: Tensor) -> Tensor:
    """E log 1/(B-1) sum_{j != i} k_ij, []."""
    itself = torch.eye(len(kernel), dtype=torch.bool, device=kernel.device)
    return kernel.masked_fill(itself, -math.inf).logsumexp(1).mean() - math.log(len(kernel) - 1)


class KNN(EntropyEstimator):
    """H(z) = digamma(B) - digamma(k) + E log volume of the ball that reaches the k-th neighbour of z_i.

    In coordinates of covariance I; on the sphere the ball is a cap. Relation to I: none. Relation to the ELBO: an
    estimate, unbiased if the density is constant within the ball; biased up in many dimensions, where the k-th
    neighbour is far. No ceiling; variance falls as k grows. Source: Kozachenko & Leonenko 1987.
    """

    name = "knn"

    def __init__(self, *, k: int):
        super().__init__()
        require_at_least(1, k=k)
        self.k = k

    def forward(self, z, *, posterior, space, side, mixture=None):
        count, dim = z.shape
        require(self.k < count, f"k must be below the batch's {count} samples, got {self.k}")
        uniform = digamma(count) - digamma(self.k)
        if space.name == "sphere":
            return uniform + _log_cap(2 * torch.asin((self._distance(z) / 2).clamp_max(1 - 1e-6)), dim).mean()
        u, log_jacobian = Euclidean.standardiser(z)(z)
        log_unit_ball = 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim + 1)
        return uniform + log_unit_ball + dim * self._distance(u).log().mean() - log_jacobian.mean()

    def _distance(self, u: Tensor) -> Tensor:
        """From each sample to its k-th neighbour, [B]; differentiable, and above 0 even for equal samples."""
        with torch.no_grad():
            nearest = torch.cdist(u, u).fill_diagonal_(math.inf).kthvalue(self.k, dim=1).indices
        return ((u - u[nearest]).square().sum(1) + 1e-12).sqrt()


def _log_cap(angle: Tensor, dim: int) -> Tensor:
    """log area of the cap within `angle` of a point of the unit sphere in R^dim: area(dim - 1) int sin^(dim - 2)."""
    nodes, weights = (angle.new_tensor(a) for a in np.polynomial.legendre.leggauss(64))
    angles = 0.5 * angle[:, None] * (1 + nodes)
    return log_area(dim - 1) + (weights.log() + (dim - 2) * angles.sin().log()).logsumexp(1) + (0.5 * angle).log()
