"""K-way InfoNCE, the positive among the candidates."""

import math

from torch import Tensor

from ssvae_cli.scores import Scores


class InfoNCE:
    """E [ log f(z_i, z'_i) - log 1/K sum_j f(z_i, z'_j) ], the positive included in the sum.

    Relation to I: a lower bound, at most log K. Relation to the ELBO of the InfoNCE prior (Eq. 30): another
    quantity, equal to it as K grows. Low variance. Source: van den Oord et al. 2018; Poole et al. 2019, Eq. 10.
    """

    name = "infonce"
    bound = "lower"

    def __call__(self, scores: Scores) -> Tensor:
        return scores.mean(scores.positives - scores.log_partition(positive=True))

    @staticmethod
    def ceiling(candidates: float) -> float:
        """log K, nats."""
        return math.log(candidates)
