"""Eq. 3 of the paper: N negatives and the positive in the sum."""

import math

from ssvae_cli.estimators.infonce import InfoNCE


class Eq3(InfoNCE):
    """E [ log f(z_i, z'_i) / (f(z_i, z'_i) + sum of N negatives) ] + log N, the paper's Eq. 3.

    That is (N + 1)-way InfoNCE less log (N + 1) / N; the outer log that the paper prints is a slip. Relation to I: a
    lower bound, below log N. Relation to the ELBO of the InfoNCE prior (Eq. 30): another quantity, equal to it as N
    grows (Eq. 5). Low variance. Source: the paper, Eq. 3.
    """

    name = "eq3"

    def forward(self, scores):
        return super().forward(scores) - math.log1p(1 / (scores.candidates - 1))

    @staticmethod
    def ceiling(candidates):
        """log N."""
        return math.log(candidates - 1)
