"""In-batch scores in tiles: the table is never held as a whole."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from ssvae_cli.critics import Factored
from ssvae_cli.scores.protocol import Scores, log_of
from ssvae_cli.scores.tile_sums import log_sums, softplus_sum


class Tiles:
    """The table t[i, j] = log f(z_i, z'_j) in its factors, and the sums over it, each computed once.
    z: [B, D], z': [M, D]. sides: whose sums are wanted; both come from one pass. present: bool, the candidates of the
    one side wanted that are among the terms; None for all."""

    def __init__(
        self,
        critic: Factored,
        z: Tensor,
        z_prime: Tensor,
        *,
        sides: set[Literal["rows", "columns"]],
        present: Tensor | None = None,
    ):
        self.critic, self.sides, self.present = critic, sides, present
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
        sides = {side: side in self.sides for side in ("rows", "columns")}
        return log_sums(*self._terms(clip), **sides)

    def softplus_sum(self) -> Tensor:
        """sum_ij softplus(t[i, j]), i != j, []."""
        return softplus_sum(*self._terms(math.inf))

    def _terms(self, clip: float) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
        """Factors a, b and a function of them, t clipped; an absent candidate's last factor makes its t -inf."""
        across = self.critic.across
        clipped = across if math.isinf(clip) else lambda a, b: across(a, b).clamp(-clip, clip)
        if self.present is None:
            return self.a, self.b, clipped
        absent = torch.zeros(len(self.present), dtype=self.a.dtype, device=self.a.device)
        absent = absent.masked_fill(~self.present, -math.inf)
        logs = [absent if side in self.sides else absent.new_zeros(()) for side in ("columns", "rows")]
        a, b = (torch.cat([x, log.expand(len(x))[:, None]], 1) for x, log in zip((self.a, self.b), logs))
        return a, b, lambda a, b: clipped(a[:, :-1], b[:, :-1]) + a[:, -1:] + b[:, -1]


class TiledScores(Scores):
    """The answers of DenseScores, in memory that grows with the batch and not with its square.
    The anchors are the rows of `tiles`, or its columns; there are at least as many candidates."""

    def __init__(self, tiles: Tiles, anchors: Literal["rows", "columns"]):
        self.tiles, self.side = tiles, ("rows", "columns").index(anchors)
        self.positives = tiles.positives
        self.candidates = (
            len(tiles.a if self.side else tiles.b)
            if tiles.present is None
            else tiles.present.sum(dtype=self.positives.dtype)
        )

    def log_partition(self, *, positive: bool) -> Tensor:
        apart = self._anchors(self.tiles.log_sums)
        if positive:
            return torch.logaddexp(apart, self.positives) - log_of(self.candidates)
        return apart - log_of(self.candidates - 1)

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        sums = self.tiles.log_sums if math.isinf(clip) else self.tiles.clipped(clip)
        return self._anchors(sums).logsumexp(0) - log_of(len(self.positives) * (self.candidates - 1))

    def softplus_all(self) -> Tensor:
        return self.tiles.softplus_sum() / (len(self.positives) * (self.candidates - 1))

    def _anchors(self, sums: tuple[Tensor, Tensor]) -> Tensor:
        return sums[self.side][: len(self.positives)]
