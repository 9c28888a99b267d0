"""The marginal as the mixture of the batch's posteriors."""

import math

from ssvae_cli.estimators.base import EntropyEstimator


class Aggregate(EntropyEstimator):
    """H(z) = -E log 1/B sum_j Q(z_i|x_j), the anchor's own posterior included.

    For stochastic posteriors only: that of a deterministic encoder is a delta. Relation to I: none. Relation to the
    ELBO: biased down, as log of a mean with the own term in it is high; it reads at most H(z|x) + log B an entropy.
    Low variance. Source: Tomczak & Welling 2018; Chen et al. 2018 (minibatch estimates of the aggregate posterior).
    """

    name = "aggregate"
    needs_density = True  # of Q(z|x)

    def forward(self, z, *, posterior, space, side):
        return math.log(len(z)) - posterior.log_prob_table(z).logsumexp(1).mean()
