"""The Donsker-Varadhan bound, and its relatives with another gradient or a clipped partition."""

import torch
from torch import Tensor

from ssvae_cli.errors import require, require_above
from ssvae_cli.estimators.base import ScoreEstimator, straight_through
from ssvae_cli.estimators.nwj import jensen_shannon


class DV(ScoreEstimator):
    """E T - log E_{z, z'} e^T with T = log f and independent z, z' (Donsker & Varadhan 1983).

    Relation to I: a lower bound in expectation over infinitely many samples; a minibatch's log of a mean biases
    it up. Relation to the ELBO: that of `energy`, biased up likewise; of `mi` a lower bound. No ceiling; variance
    grows like e^I. Source: Donsker & Varadhan 1983.
    """

    name = "dv"
    estimates = frozenset({"mi", "energy"})
    bound = "lower"

    def forward(self, scores):
        return scores.mean(scores.positives) - scores.log_partition_all()


class MINE(ScoreEstimator):
    """The value is plain DV. The gradient divides E e^T's by its moving average over batches (Belghazi et al. 2018).

    That takes a minibatch's bias out of the gradient, and leaves the value's. The average is kept in log space, so that
    scores of any size overflow nothing, and moves in training alone. decay: of the average, a step. Relation to I,
    relation to the ELBO, ceiling and variance: DV's, the gradient's variance lower. Source: Belghazi et al. 2018.
    """

    name = "mine"
    estimates = frozenset({"mi", "energy"})
    bound = "lower"

    def __init__(self, *, decay: float):
        super().__init__()
        require(0 <= decay < 1, f"decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.register_buffer("log_average", torch.tensor(-torch.inf))

    def forward(self, scores):
        log_partition, positives = scores.log_partition_all(), scores.mean(scores.positives)
        average = self._average(log_partition.detach())
        if self.training:
            self.log_average.copy_(average)
        ratio = (log_partition - average).clamp_max(10.0)  # a batch far above the average pulls, but not beyond e^10
        return straight_through(positives - log_partition, positives - ratio.exp())

    def _average(self, log_partition: Tensor) -> Tensor:
        if torch.isneginf(self.log_average):
            return log_partition
        weights = torch.tensor([self.decay, 1 - self.decay], dtype=log_partition.dtype, device=log_partition.device)
        return torch.logsumexp(torch.stack([self.log_average.to(log_partition), log_partition]) + weights.log(), 0)


class SMILE(ScoreEstimator):
    """Reads E T - log E_{z, z'} clip(e^T, e^-clip, e^clip); trains T by Jensen-Shannon, as its authors do.

    Relation to I: none; clipping makes the partition small where T is large, and the value is no bound. Relation to
    the ELBO of `energy`: biased up by the clipping. No ceiling; variance at most of order e^clip.
    Source: Song & Ermon 2020.
    """

    name = "smile"
    estimates = frozenset({"mi", "energy"})
    bound = "none"

    def __init__(self, *, clip: float):
        super().__init__()
        require_above(0, clip=clip)
        self.clip = clip

    def forward(self, scores):
        value = scores.mean(scores.positives) - scores.log_partition_all(clip=self.clip)
        return straight_through(value, jensen_shannon(scores))
