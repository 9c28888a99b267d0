"""In-batch scores, as a table."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.scores.protocol import Scores, log_of


class DenseScores(Scores):
    """Scores within a batch: every other pair's z' is a negative, and so is every further candidate that is present.
    table: [B, N], N >= B, table[i, j] = log f(z_i, c_j), c_j = z'_j for j < B. present: bool [N], None for all."""

    def __init__(self, table: Tensor, present: Tensor | None = None):
        if not isinstance(table, Tensor) or not table.is_floating_point():
            got = getattr(table, "dtype", type(table).__name__)
            raise ValueError(f"DenseScores takes a tensor of floats, got {got}")
        if table.ndim != 2 or table.shape[0] > table.shape[1] or table.shape[1] < 2:
            raise ValueError(f"DenseScores takes a table of pairs by at least 2 candidates, got {tuple(table.shape)}")
        self.table, self.positives, self.present = table, table.diagonal(), present
        self.candidates = table.shape[1] if present is None else present.sum(dtype=table.dtype)

    def log_partition(self, *, positive: bool) -> Tensor:
        table = self._present(self.table) if positive else self._apart(self.table)
        return table.logsumexp(1) - log_of(self.candidates - int(not positive))

    def log_partition_all(self, clip: float = math.inf) -> Tensor:
        rows = self._apart(self.table.clamp(-clip, clip)).logsumexp(1) - log_of(self.candidates - 1)
        return rows.logsumexp(0) - math.log(len(rows))

    def softplus_all(self) -> Tensor:
        return F.softplus(self._apart(self.table)).sum() / (len(self.table) * (self.candidates - 1))

    def _present(self, table: Tensor) -> Tensor:
        """The table without absent candidates."""
        return table if self.present is None else table.masked_fill(~self.present, -math.inf)

    def _apart(self, table: Tensor) -> Tensor:
        """The table without the positives, and without absent candidates."""
        itself = torch.eye(*table.shape, dtype=torch.bool, device=table.device)
        return self._present(table.masked_fill(itself, -math.inf))
