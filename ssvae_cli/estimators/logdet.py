"""The entropy of a normal with the batch's covariance."""

import math

import torch

from ssvae_cli.distributions.spaces import Euclidean
from ssvae_cli.estimators.base import EntropyEstimator


class LogDet(EntropyEstimator):
    """H(z) = 1/2 log det(2 pi e Sigma), Sigma the batch's covariance, less the estimate's known bias on normal data.

    Relation to I: none. Relation to the ELBO: biased up, a normal having the largest entropy of its covariance; exact
    where z is normal. No ceiling; low variance while B is several times D. Source: Cover & Thomas, theorem 8.6.5; the
    bias: Ahmed & Gokhale 1989.
    """

    name = "logdet"
    spaces = frozenset({"euclidean"})

    def forward(self, z, *, posterior, space, side):
        _, log_jacobian = Euclidean.standardiser(z)(z)
        return 0.5 * z.shape[1] * math.log(2 * math.pi * math.e) - log_jacobian.mean() - logdet_bias(*z.shape)


def logdet_bias(count: int, dim: int) -> float:
    """E 1/2 log det of the sample covariance of `count` normal samples, less that of their covariance, nats.

    Wishart's: sum_i [digamma((n - i) / 2) - log((n - 1) / 2)] / 2, i = 1..D (Ahmed & Gokhale 1989).
    """
    free = (count - torch.arange(1, dim + 1, dtype=torch.float64)).clamp_min(1)
    return 0.5 * (torch.digamma(free / 2) - math.log((count - 1) / 2)).sum().item()
