"""In-batch scores of a batch that several processes share."""

import math

from torch import Tensor

from ssvae_cli.distributed.collectives import all_reduce_max, all_reduce_mean, all_reduce_sum, current_shard
from ssvae_cli.scores.protocol import Scores


class GatheredScores(Scores):
    """One rank's part of a shared batch's scores: `own`, its anchors against the candidates of all ranks.
    Each mean, and each partition over all pairs, is that of the whole batch, the same on every rank."""

    def __init__(self, own: Scores):
        self.own, self.positives, self.candidates = own, own.positives, own.candidates

    def mean(self, values: Tensor) -> Tensor:
        return all_reduce_mean(values)

    def log_partition(self, *, positive: bool) -> Tensor:
        return self.own.log_partition(positive=positive)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        log_sum = self.own.log_partition_all(clip) + math.log(len(self.positives))
        peak = all_reduce_max(log_sum)
        return all_reduce_sum((log_sum - peak).exp()).log() + peak - math.log(current_shard().total)

    def softplus_all(self) -> Tensor:
        return all_reduce_mean(self.own.softplus_all().expand(len(self.positives)))
