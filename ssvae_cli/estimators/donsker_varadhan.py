"""The Donsker-Varadhan bound, and its relatives with another gradient or a clipped partition."""

import math

import torch

from ssvae_cli.errors import require_above, require_below_one
from ssvae_cli.estimators.base import ScoreEstimator, straight_through
from ssvae_cli.estimators.nwj import jensen_shannon

MOST = 10.0  # nats of a batch's partition above its average; the gradient of MINE is limited to e^10 times


class DV(ScoreEstimator):
    """E T - log E_{z, z'} e^T with T = log f and independent z, z'.

    Relation to I: a lower bound with infinitely many samples; on a minibatch biased up, by the log of a mean. Relation
    to the ELBO: for `energy` an estimate with that bias, for `mi` a lower bound. No ceiling; variance grows like e^I.
    Source: Donsker & Varadhan 1983.
    """

    name = "dv"
    estimates = frozenset({"mi", "energy"})
    bound = "lower"

    def forward(self, scores):
        return scores.mean(scores.positives) - scores.log_partition_all()


class MINE(DV):
    """The value is plain DV. The gradient divides that of E e^T by its moving average over batches.

    This removes a minibatch's bias from the gradient, not from the value. The average is stored in log space, so that
    no score overflows, and is updated in training only. decay: of the average, for each table of scores, of which a
    step has two where the prior's direction is both, and more with more views. Relation to I, relation to the ELBO and
    ceiling: as DV. Variance: as DV, that of the gradient lower. Source: Belghazi et al. 2018.
    """

    name = "mine"

    def __init__(self, *, decay: float):
        super().__init__()
        require_below_one(decay=decay)
        self.decay = decay
        self.register_buffer("log_average", torch.tensor(-torch.inf))

    def forward(self, scores):
        log_partition, positives = scores.log_partition_all(), scores.mean(scores.positives)
        average, past = log_partition.detach(), self.log_average.to(log_partition)
        parts = zip((past, average), (self.decay, 1 - self.decay))
        later = torch.stack([part + (math.log(weight) if weight else -math.inf) for part, weight in parts]).logsumexp(0)
        average = torch.where(past.isneginf(), average, later)  # the first batch has no past
        if self.training:
            self.log_average.copy_(average)
        ratio = (log_partition - average).clamp_max(MOST)
        return straight_through(positives - log_partition, positives - ratio.exp())


class SMILE(ScoreEstimator):
    """Reads E T - log E_{z, z'} clip(e^T, e^-clip, e^clip); trains T by Jensen-Shannon, as its authors do.
    Relation to I: none, no bound: clipping makes the partition small if T is large. Relation to the ELBO of `energy`:
    biased up by the clipping. No ceiling; variance at most of order e^clip. Source: Song & Ermon 2020."""

    name = "smile"
    estimates = frozenset({"mi", "energy"})

    def __init__(self, *, clip: float):
        super().__init__()
        require_above(0, clip=clip)
        self.clip = clip

    def forward(self, scores):
        value = scores.mean(scores.positives) - scores.log_partition_all(clip=self.clip)
        return straight_through(value, jensen_shannon(scores))
