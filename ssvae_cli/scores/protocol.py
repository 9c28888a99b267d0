"""What every kind of scores can be asked."""

import math
from typing import Protocol

from torch import Tensor


class Scores(Protocol):
    """log f of B pairs, in one direction: the anchor is z, the candidates are z' (or the other way round)."""

    positives: Tensor  # [B], log f(z_i, z'_i)
    candidates: float  # how many terms the partition averages, the positive included; inf where it is exact

    def mean(self, values: Tensor) -> Tensor:
        """E over the pairs of `values`, [B] -> []."""
        return values.mean()

    def log_partition(self, *, positive: bool) -> Tensor:
        """log mean_j f(z_i, z'_j), [B]; `positive` says whether the anchor's own z'_i is among the z'_j."""

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        """log mean_ij f(z_i, z'_j) over pairs drawn from Q(z) Q(z'), []; log f clipped to [-clip, clip]."""

    def softplus_all(self) -> Tensor:
        """mean_ij softplus(log f(z_i, z'_j)) over pairs drawn from Q(z) Q(z'), []."""
