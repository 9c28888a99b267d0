"""The entropy of a normal with the batch's covariance."""

import math

from ssvae_cli.estimators.entropy import EntropyEstimator, logdet_bias
from ssvae_cli.spaces import Euclidean


class LogDet(EntropyEstimator):
    """H(z) = 1/2 log det(2 pi e Sigma), Sigma the batch's covariance, less the estimate's known bias on normal data.

    Relation to I: none. Relation to the ELBO: biased up, a normal having the largest entropy of its covariance; exact
    where z is normal. No ceiling; low variance while B is several times D. Source: Cover & Thomas, theorem 8.6.5; the
    bias: Ahmed & Gokhale 1989.
    """

    name = "logdet"

    def entropy(self, z, posterior, space, side):
        _, log_jacobian = Euclidean.standardiser(z)(z)
        return 0.5 * z.shape[1] * math.log(2 * math.pi * math.e) - log_jacobian.mean() - logdet_bias(*z.shape)
