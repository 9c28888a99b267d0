"""Entropy by a kernel density estimate."""

import math

import torch
from torch import Tensor

from ssvae_cli.distributions.spaces import Euclidean
from ssvae_cli.distributions.von_mises_fisher import log_normaliser
from ssvae_cli.estimators.base import EntropyEstimator


class KDE(EntropyEstimator):
    """H(z) = -E log 1/(B-1) sum_{j != i} k(z_i, z_j), each sample left out of its own density.

    k: a normal kernel in coordinates of covariance I, of variance B^(-2/(D+4)) (Scott 1992); on the sphere a von
    Mises-Fisher kernel of that width beside the samples' own. Relation to I: none. Relation to the ELBO: biased up,
    far up in many dimensions, as a kernel is wider than its data are dense. No ceiling; moderate variance.
    Source: Joe 1989 (the resubstitution estimate, left out one).
    """

    name = "kde"

    def forward(self, z, *, posterior, space, side):
        if space.name == "sphere":
            return -_leave_one_out(_von_mises_fisher_kernel(z))
        u, log_jacobian = Euclidean.standardiser(z)(z)
        count, dim = z.shape
        variance = count ** (-2 / (dim + 4))
        kernel = -0.5 * torch.cdist(u, u).square() / variance - 0.5 * dim * math.log(2 * math.pi * variance)
        return -_leave_one_out(kernel) - log_jacobian.mean()


def _von_mises_fisher_kernel(z: Tensor) -> Tensor:
    """log k, [B, B]; the variance along each of the D - 1 tangents shrinks by Scott's factor."""
    count, dim = z.shape
    variance = (1 - z.detach().mean(0).square().sum()).clamp_min(1e-6) / (dim - 1)
    kappa = count ** (2 / (dim + 3)) / variance
    return kappa * z @ z.T + log_normaliser(kappa, dim)


def _leave_one_out(kernel: Tensor) -> Tensor:
    """E log 1/(B-1) sum_{j != i} k_ij, []."""
    itself = torch.eye(len(kernel), dtype=torch.bool, device=kernel.device)
    return kernel.masked_fill(itself, -math.inf).logsumexp(1).mean() - math.log(len(kernel) - 1)
