"""What every kind of scores can be asked."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Past(NamedTuple):
    """Latents of past batches, as further candidates."""

    latents: tuple[Tensor, ...]  # [M, D] of each view
    present: Tensor  # bool [M]: the others are no candidates

    def after(self, own: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """The rows of a batch, then these, [B + M, D] of each view; bool [B + M], which are present. Absent rows are
        the batch's first, a point of the space."""
        present = torch.cat([self.present.new_ones(len(own[0])), self.present])
        pairs = zip(own, self.latents)
        return [torch.cat([z, torch.where(self.present[:, None], past, z[:1].detach())]) for z, past in pairs], present

    def of(self, *views: int) -> "Past":
        """Those of some views alone."""
        return Past(tuple(self.latents[view] for view in views), self.present)


def log_of(count: float | Tensor) -> float | Tensor:
    """The log of a number of candidates, which is a tensor where it changes from step to step."""
    return count.log() if isinstance(count, Tensor) else math.log(count)


class Scores(Protocol):
    """log f of B pairs, in one direction: the anchor is z, the candidates are z' (or the other way round)."""

    positives: Tensor  # [B], log f(z_i, z'_i)
    candidates: float | Tensor  # how many terms the partition averages, the positive included; inf where it is exact

    def mean(self, values: Tensor) -> Tensor:
        """E over the pairs of `values`, [B] -> []."""
        return values.mean()

    def log_partition(self, *, positive: bool) -> Tensor:
        """log mean_j f(z_i, z'_j), [B]; `positive` says whether the anchor's own z'_i is among the z'_j."""

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        """log mean_ij f(z_i, z'_j) over pairs drawn from Q(z) Q(z'), []; log f clipped to [-clip, clip]."""

    def softplus_all(self) -> Tensor:
        """mean_ij softplus(log f(z_i, z'_j)) over pairs drawn from Q(z) Q(z'), []."""
