"""In-batch scores in tiles: the table is never held as a whole."""

import math
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from ssvae_cli.critics import Factored
from ssvae_cli.scores.protocol import Scores
from ssvae_cli.scores.tile_sums import log_sums, softplus_sum


class Tiles:
    """The table t[i, j] = log f(z_i, z'_j) in its factors, and the sums over it, each computed once.
    z: [B, D], z': [M, D]. sides: whose sums are wanted; both come from one pass."""

    def __init__(self, critic: Factored, z: Tensor, z_prime: Tensor, *, sides: set[Literal["rows", "columns"]]):
        self.critic, self.sides = critic, sides
        self.a, self.b = critic.factored(z, z_prime)

    @cached_property
    def positives(self) -> Tensor:
        """t[i, i], one per pair."""
        pairs = min(len(self.a), len(self.b))
        return self.critic.along(self.a[:pairs], self.b[:pairs])

    @cached_property
    def log_sums(self) -> tuple[Tensor, Tensor]:
        """log sum_{j != i} e^t of each row and of each column."""
        return self.clipped(math.inf)

    def clipped(self, clip: float) -> tuple[Tensor, Tensor]:
        """`log_sums` of t clipped to [-clip, clip]."""
        across = self.critic.across
        clipping = across if math.isinf(clip) else lambda a, b: across(a, b).clamp(-clip, clip)
        return log_sums(self.a, self.b, clipping, rows="rows" in self.sides, columns="columns" in self.sides)


class TiledScores(Scores):
    """The answers of DenseScores, in memory that grows with the batch and not with its square.
    The anchors are the rows of `tiles`, or its columns; there are at least as many candidates."""

    def __init__(self, tiles: Tiles, anchors: Literal["rows", "columns"]):
        self.tiles, self.side = tiles, ("rows", "columns").index(anchors)
        self.positives, self.candidates = tiles.positives, len(tiles.a if self.side else tiles.b)

    def log_partition(self, *, positive: bool) -> Tensor:
        apart = self._anchors(self.tiles.log_sums)
        if positive:
            return torch.logaddexp(apart, self.positives) - math.log(self.candidates)
        return apart - math.log(self.candidates - 1)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        sums = self.tiles.log_sums if math.isinf(clip) else self.tiles.clipped(clip)
        return self._anchors(sums).logsumexp(0) - math.log(len(self.positives) * (self.candidates - 1))

    def softplus_all(self) -> Tensor:
        total = softplus_sum(self.tiles.a, self.tiles.b, self.tiles.critic.across)
        return total / (len(self.positives) * (self.candidates - 1))

    def _anchors(self, sums: tuple[Tensor, Tensor]) -> Tensor:
        return sums[self.side][: len(self.positives)]
