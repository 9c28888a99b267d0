"""The Donsker-Varadhan bound."""

import math

from torch import Tensor

from ssvae_cli.scores import Scores


class DV:
    """E T - log E_{z, z'} e^T with T = log f and independent z, z' (Donsker & Varadhan 1983).

    Relation to I: a lower bound in expectation over infinitely many samples; a minibatch's log of a mean biases
    it up. Relation to the ELBO: of `mi` a lower bound likewise. No ceiling; variance grows like e^I.
    """

    name = "dv"
    bound = "lower"

    def __call__(self, scores: Scores) -> Tensor:
        return scores.mean(scores.positives) - scores.log_partition_all()

    @staticmethod
    def ceiling(candidates: float) -> float:
        return math.inf
