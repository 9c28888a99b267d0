"""Scores of a finite alphabet: exact sums."""

import math

from torch import Tensor
from torch.nn import functional as F


class EnumeratedScores:
    """Exact sums on a finite alphabet: every pair (z, z') is a row, weighted by Q(z, z').

    log_f: [n, m]; joint: [n, m], Q(z, z'), summing to one. Partitions are exact expectations, so the positive has no
    separate weight in them and `candidates` is infinite.
    """

    candidates = math.inf

    def __init__(self, log_f: Tensor, joint: Tensor):
        if log_f.shape != joint.shape:
            raise ValueError(f"log_f {tuple(log_f.shape)} and joint {tuple(joint.shape)} differ in shape")
        self.positives = log_f.flatten()
        self._weights = joint.flatten()
        log_q_prime = joint.sum(0).log()  # [m]
        self._log_f, self._log_independent = log_f, joint.sum(1).log()[:, None] + log_q_prime
        self._rows = (log_f + log_q_prime).logsumexp(1)  # [n], log Z(z)

    def mean(self, values: Tensor) -> Tensor:
        return (self._weights * values.where(self._weights > 0, 0.0)).sum()  # an infinite score of weight 0 adds 0

    def log_partition(self, *, positive: bool) -> Tensor:
        return self._rows.repeat_interleave(self._log_f.shape[1])

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        return (self._log_f.clamp(-clip, clip) + self._log_independent).flatten().logsumexp(0)

    def softplus_all(self) -> Tensor:
        return (F.softplus(self._log_f) * self._log_independent.exp()).sum()
