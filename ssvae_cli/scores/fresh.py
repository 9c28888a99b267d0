"""Scores against fresh candidates, for evaluation."""

import math

from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.scores.protocol import Scores


class FreshScores(Scores):
    """Scores for evaluation: the candidates are fresh views of all n sources, the anchor's own included.

    The partition is then the average over the finite data set (design: the anchor's own source has its weight 1/n),
    the same for every run. With `positive=True` the positive replaces the own source's view: K-way InfoNCE, K = n.
    positives: [B]; table: [B, n], table[i, j] = log f(z_i, c_j); own: [B], the column of anchor i's own source.
    """

    def __init__(self, positives: Tensor, table: Tensor, own: Tensor):
        self.positives, self.table, self.own, self.candidates = positives, table, own, table.shape[1]

    def weighted(self, log_weights: Tensor) -> "FreshScores":
        """The same with every source, as an anchor and as a candidate, as often as its weight says, [n] logs."""
        of_anchors = log_weights[self.own].log_softmax(0) + math.log(len(self.own))
        of_candidates = log_weights.log_softmax(0) + math.log(self.candidates)
        return FreshScores(self.positives, self.table + of_anchors[:, None] + of_candidates, self.own)

    def log_partition(self, *, positive: bool) -> Tensor:
        table = self.table.scatter(1, self.own[:, None], self.positives[:, None]) if positive else self.table
        return table.logsumexp(1) - math.log(self.candidates)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        return self.table.clamp(-clip, clip).flatten().logsumexp(0) - math.log(self.table.numel())

    def softplus_all(self) -> Tensor:
        return F.softplus(self.table).mean()
