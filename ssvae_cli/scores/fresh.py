"""Scores against fresh candidates, for evaluation."""

import math

from torch import Tensor
from torch.nn import functional as F


class FreshScores:
    """Scores for evaluation: the candidates are fresh views of all n sources, the anchor's own among them.

    That averages the partition over the finite data set as it is (design: the anchor's own source has its
    weight 1/n), and it is the same for every run. With `positive=True` the own source's fresh view gives way
    to the positive itself: K-way InfoNCE with K = n.

    positives: [B]; table: [B, n], table[i, j] = log f(z_i, c_j); own: [B], the column of anchor i's own source.
    """

    def __init__(self, positives: Tensor, table: Tensor, own: Tensor):
        self.positives, self.table, self.own = positives, table, own
        self.candidates = table.shape[1]

    def mean(self, values: Tensor) -> Tensor:
        return values.mean()

    def log_partition(self, *, positive: bool) -> Tensor:
        table = self.table.scatter(1, self.own[:, None], self.positives[:, None]) if positive else self.table
        return table.logsumexp(1) - math.log(self.candidates)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        return self.table.clamp(-clip, clip).flatten().logsumexp(0) - math.log(self.table.numel())

    def softplus_all(self) -> Tensor:
        return F.softplus(self.table).mean()
