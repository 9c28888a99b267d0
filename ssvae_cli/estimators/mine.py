"""MINE: Donsker-Varadhan with a moving average in the gradient."""

import torch
from torch import Tensor

from ssvae_cli.errors import require
from ssvae_cli.estimators.base import ScoreEstimator, straight_through


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
