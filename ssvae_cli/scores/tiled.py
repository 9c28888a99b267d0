"""In-batch scores in tiles: no table is ever whole."""

import math
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from ssvae_cli.critics import Factored
from ssvae_cli.scores.tile_sums import log_sums, softplus_sum


class Tiles:
    """The table t[i, j] = log f(z_i, z'_j) in its factors, and the sums over it, each computed once.

    z: [B, D], z': [M, D]. sides: whose sums are wanted; both come from one pass.
    """

    def __init__(self, critic: Factored, z: Tensor, z_prime: Tensor, *, sides: set[Literal["rows", "columns"]]):
        self.critic, self.sides = critic, sides
        self.a, self.b = critic.factored(z, z_prime)

    @cached_property
    def positives(self) -> Tensor:
        """t[i, i], of as many as there are pairs."""
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
        wanted = {side: side in self.sides for side in ("rows", "columns")}
        return log_sums(self.a, self.b, clipping, **wanted)

    def softplus_sum(self) -> Tensor:
        """sum_{i != j} softplus(t), []."""
        return softplus_sum(self.a, self.b, self.critic.across)


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
