"""InfoNCE with K candidates, and variants that differ only in the partition."""

import math

from ssvae_cli.distributed.collectives import all_gather
from ssvae_cli.estimators.bank import Bank
from ssvae_cli.estimators.base import ScoreEstimator


class InfoNCE(ScoreEstimator):
    """E [ log f(z_i, z'_i) - log 1/K sum_j f(z_i, z'_j) ], the positive included in the sum.
    Relation to I: a lower bound, at most log K. Relation to the ELBO of the InfoNCE prior (Eq. 30): a different
    quantity, equal as K grows. Low variance. Source: van den Oord et al. 2018; Poole et al. 2019, Eq. 10."""

    name = "infonce"
    estimates = frozenset({"infonce", "mi"})
    bound = "lower"

    def forward(self, scores):
        return scores.mean(scores.positives - scores.log_partition(positive=True))

    @staticmethod
    def ceiling(candidates):
        return math.log(candidates)  # log K


class Eq3(InfoNCE):
    """E [ log f(z_i, z'_i) / (f(z_i, z'_i) + sum of N negatives) ] + log N, the paper's Eq. 3.

    This is (N + 1)-way InfoNCE less log (N + 1) / N; the outer log printed in the paper is a slip. Relation to I: a
    lower bound, below log N. Relation to the ELBO of the InfoNCE prior (Eq. 30): a different quantity, equal as N grows
    (Eq. 5). Low variance. Source: the paper, Eq. 3.
    """

    name = "eq3"

    def forward(self, scores):
        return super().forward(scores) - math.log1p(1 / (scores.candidates - 1))

    @staticmethod
    def ceiling(candidates):
        return math.log(candidates - 1)  # log N


class LeaveOneOut(ScoreEstimator):
    """E [ log f(z_i, z'_i) - log 1/(K-1) sum_{j != i} f(z_i, z'_j) ]: Eq. 30 with Z(z) from the other pairs.
    Relation to I: none, no bound; it can exceed I by far. Relation to the ELBO of the InfoNCE prior (Eq. 30): biased
    up by Jensen, as the log of a mean of K-1 is low. No ceiling; variance grows with f's. Source: the paper, Eq. 30."""

    name = "leave_one_out"
    estimates = frozenset({"infonce"})

    def forward(self, scores):
        return scores.mean(scores.positives - scores.log_partition(positive=False))


class Queue(InfoNCE):
    """K-way InfoNCE with latents of past batches as further candidates, K = batch + bank.

    size: how many past pairs are kept; evaluation neither reads nor changes the bank. Relation to I: a lower bound up
    to the bank's staleness (latents of earlier encoders, without gradient); at most log K. Relation to the ELBO of the
    InfoNCE prior (Eq. 30): a different quantity, equal as K grows. Low variance. Source: He et al. 2020 (MoCo).
    """

    name = "queue"
    keeps_past = True

    def __init__(self, *, size: int, latent_dim: int, views: int = 2):
        super().__init__()
        self.bank = Bank(size=size, latent_dim=latent_dim, views=views)

    def past(self):
        return self.bank.past() if self.training else None

    def remember(self, encoded):
        if self.training:
            self.bank.remember([all_gather(z.detach()) for z in encoded.latents])
