"""K-way InfoNCE, the positive among the candidates."""

import math

from ssvae_cli.estimators.base import ScoreEstimator


class InfoNCE(ScoreEstimator):
    """E [ log f(z_i, z'_i) - log 1/K sum_j f(z_i, z'_j) ], the positive included in the sum.

    Relation to I: a lower bound, at most log K. Relation to the ELBO of the InfoNCE prior (Eq. 30): another
    quantity, equal to it as K grows. Low variance. Source: van den Oord et al. 2018; Poole et al. 2019, Eq. 10.
    """

    name = "infonce"
    estimates = frozenset({"infonce", "mi"})
    bound = "lower"

    def forward(self, scores):
        return scores.mean(scores.positives - scores.log_partition(positive=True))

    @staticmethod
    def ceiling(candidates):
        """log K."""
        return math.log(candidates)
