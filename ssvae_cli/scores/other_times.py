"""Scores whose candidates are, or include, other times of the anchor's own sequence."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.distributed.collectives import all_reduce_max, all_reduce_mean, all_reduce_sum, current_shard
from ssvae_cli.scores.protocol import Scores, log_of

Negatives = Literal["across", "within", "both"]


class OtherTimes(Scores):
    """The pairs of `across`, each with its own candidates: other times of the same sequence, alone or besides.

    times: [B, K], log f(z_i, z'_ik) of K other times of sequence i. besides: whether the candidates of `across`, of
    other sequences, stay.
    """

    def __init__(self, across: Scores, times: Tensor, *, besides: bool):
        self.across, self.times, self.besides = across, times, besides
        self.positives = across.positives
        self.candidates = times.shape[1] + (across.candidates if besides else 1)

    def mean(self, values: Tensor) -> Tensor:
        return self.across.mean(values)

    def log_partition(self, *, positive: bool) -> Tensor:
        if self.besides:
            count = self.across.candidates - int(not positive)
            others = self.across.log_partition(positive=positive) + log_of(count)
        else:
            count, others = int(positive), self.positives if positive else torch.full_like(self.positives, -math.inf)
        return torch.logaddexp(self.times.logsumexp(1), others) - log_of(count + self.times.shape[1])

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        """Over pairs of independent sequences and over pairs of one sequence, each as often as it is a candidate."""
        log_sum = self.times.clamp(-clip, clip).logsumexp((0, 1))
        peak = all_reduce_max(log_sum)
        total = all_reduce_sum((log_sum - peak).exp()).log() + peak
        anchors = len(self.times) if current_shard() is None else current_shard().total
        of_times = total - math.log(anchors * self.times.shape[1])
        return self._weighted(self.across.log_partition_all(clip), of_times) if self.besides else of_times

    def softplus_all(self) -> Tensor:
        of_times = all_reduce_mean(F.softplus(self.times).mean(1))
        if not self.besides:
            return of_times
        share = self.times.shape[1] / (self.times.shape[1] + self.across.candidates - 1)
        return share * of_times + (1 - share) * self.across.softplus_all()

    def _weighted(self, across: Tensor, of_times: Tensor) -> Tensor:
        """log of the mean over all negatives from the log means of both kinds."""
        ours, theirs = self.times.shape[1], self.across.candidates - 1
        return torch.logaddexp(across + log_of(theirs), of_times + math.log(ours)) - log_of(ours + theirs)
