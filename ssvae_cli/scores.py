"""Scores: what an estimator may ask about log f(z, z') over a batch of pairs.

An estimator never sees a matrix. It asks for the positives, [B], and for log-partitions, [B] or scalar,
and averages with `mean`; dense in-batch scores, fresh candidates for evaluation and the enumerated table
of a finite alphabet answer the same questions, so every estimator works with each of them.
Everything is in nats, in float32 or better, and by logsumexp.
"""

import math
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli import ranks
from ssvae_cli.couplings import Factored
from ssvae_cli.tiles import log_sums, softplus_sum


class Scores(Protocol):
    """log f of B pairs, in one direction: the anchor is z, the candidates are z' (or the other way round)."""

    positives: Tensor  # [B], log f(z_i, z'_i)
    candidates: float  # how many terms the partition averages, the positive included; inf where it is exact

    def mean(self, values: Tensor) -> Tensor:
        """E over the pairs of `values`, [B] -> []."""

    def log_partition(self, *, positive: bool) -> Tensor:
        """log mean_j f(z_i, z'_j), [B]; `positive` says whether the anchor's own z'_i is among the z'_j."""

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        """log mean_ij f(z_i, z'_j) over pairs drawn from Q(z) Q(z'), []; log f clipped to [-clip, clip]."""

    def softplus_all(self) -> Tensor:
        """mean_ij softplus(log f(z_i, z'_j)) over pairs drawn from Q(z) Q(z'), []."""


class DenseScores:
    """Scores within a batch: every other pair's z' is a negative, and so is every further candidate.

    table: [B, N], N >= B, table[i, j] = log f(z_i, c_j), c_j = z'_j for j < B.
    """

    def __init__(self, table: Tensor):
        if table.ndim != 2 or table.shape[0] > table.shape[1] or table.shape[1] < 2:
            raise ValueError(f"DenseScores takes a table of pairs by at least 2 candidates, got {tuple(table.shape)}")
        self.table = table
        self.positives = table.diagonal()
        self.candidates = table.shape[1]

    def mean(self, values: Tensor) -> Tensor:
        return values.mean()

    def log_partition(self, *, positive: bool) -> Tensor:
        if positive:
            return self.table.logsumexp(1) - math.log(self.candidates)
        return self._apart(self.table).logsumexp(1) - math.log(self.candidates - 1)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        rows = self._apart(self.table.clamp(-clip, clip)).logsumexp(1) - math.log(self.candidates - 1)
        return rows.logsumexp(0) - math.log(len(rows))

    def softplus_all(self) -> Tensor:
        return F.softplus(self._apart(self.table)).sum() / (len(self.table) * (self.candidates - 1))

    def _apart(self, table: Tensor) -> Tensor:
        """The table without the positives."""
        itself = torch.eye(*table.shape, dtype=torch.bool, device=table.device)
        return table.masked_fill(itself, -math.inf)


class Tiles:
    """The table t[i, j] = log f(z_i, z'_j) in its factors, and the sums over it, each computed once.

    z: [B, D], z': [M, D]. sides: whose sums are wanted; both come from one pass.
    """

    def __init__(self, coupling: Factored, z: Tensor, z_prime: Tensor, *, sides: set[Literal["rows", "columns"]]):
        self.coupling, self.sides = coupling, sides
        self.a, self.b = coupling.factored(z, z_prime)

    @cached_property
    def positives(self) -> Tensor:
        """t[i, i], of as many as there are pairs."""
        pairs = min(len(self.a), len(self.b))
        return self.coupling.along(self.a[:pairs], self.b[:pairs])

    @cached_property
    def log_sums(self) -> tuple[Tensor, Tensor]:
        """log sum_{j != i} e^t of each row and of each column."""
        return self.clipped(math.inf)

    def clipped(self, clip: float) -> tuple[Tensor, Tensor]:
        """`log_sums` of t clipped to [-clip, clip]."""
        across = self.coupling.across
        clipping = across if math.isinf(clip) else lambda a, b: across(a, b).clamp(-clip, clip)
        wanted = {side: side in self.sides for side in ("rows", "columns")}
        return log_sums(self.a, self.b, clipping, **wanted)

    def softplus_sum(self) -> Tensor:
        """sum_{i != j} softplus(t), []."""
        return softplus_sum(self.a, self.b, self.coupling.across)


class TiledScores:
    """What DenseScores answers, in memory that does not grow with the square of the batch.

    The anchors are the rows of `tiles`, or its columns; there are at least as many candidates.
    """

    def __init__(self, tiles: Tiles, anchors: Literal["rows", "columns"]):
        self.tiles, self.side = tiles, ("rows", "columns").index(anchors)
        self.positives = tiles.positives
        self.candidates = len(tiles.a if self.side else tiles.b)

    def mean(self, values: Tensor) -> Tensor:
        return values.mean()

    def log_partition(self, *, positive: bool) -> Tensor:
        apart = self._anchors(self.tiles.log_sums)
        if positive:
            return torch.logaddexp(apart, self.positives) - math.log(self.candidates)
        return apart - math.log(self.candidates - 1)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        sums = self.tiles.log_sums if math.isinf(clip) else self.tiles.clipped(clip)
        return self._anchors(sums).logsumexp(0) - math.log(len(self.positives) * (self.candidates - 1))

    def softplus_all(self) -> Tensor:
        return self.tiles.softplus_sum() / (len(self.positives) * (self.candidates - 1))

    def _anchors(self, sums: tuple[Tensor, Tensor]) -> Tensor:
        return sums[self.side][: len(self.positives)]


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


class RankScores:
    """One rank's part of the scores of a batch that several hold: `own`, its anchors against the candidates of all.

    Each mean, and each partition over all pairs, is that of the whole batch, the same on every rank.
    """

    def __init__(self, own: Scores):
        self.own, self.positives, self.candidates = own, own.positives, own.candidates

    def mean(self, values: Tensor) -> Tensor:
        return ranks.mean(values)

    def log_partition(self, *, positive: bool) -> Tensor:
        return self.own.log_partition(positive=positive)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        log_sum = self.own.log_partition_all(clip) + math.log(len(self.positives))
        peak = ranks.largest(log_sum)
        return ranks.summed((log_sum - peak).exp()).log() + peak - math.log(ranks.share().total)

    def softplus_all(self) -> Tensor:
        return ranks.mean(self.own.softplus_all().expand(len(self.positives)))


class EnumeratedScores:
    """Exact sums on a finite alphabet: every pair (z, z') is a row, weighted by Q(z, z').

    log_f: [n, m]; joint: [n, m], Q(z, z'), summing to one. Partitions are exact expectations, so the positive
    has no weight of its own in them and `candidates` is infinite.
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
        self._columns = joint.shape[1]

    def mean(self, values: Tensor) -> Tensor:
        possible = self._weights > 0  # a pair that never occurs adds nothing, whatever its score
        return (self._weights * values.where(possible, 0.0)).sum()

    def log_partition(self, *, positive: bool) -> Tensor:
        return self._rows.repeat_interleave(self._columns)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        return (self._log_f.clamp(-clip, clip) + self._log_independent).flatten().logsumexp(0)

    def softplus_all(self) -> Tensor:
        return (F.softplus(self._log_f) * self._log_independent.exp()).sum()
