"""In-batch scores, as a table."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.scores.protocol import Scores


class DenseScores(Scores):
    """Scores within a batch: every other pair's z' is a negative, and so is every further candidate.
    table: [B, N], N >= B, table[i, j] = log f(z_i, c_j), c_j = z'_j for j < B."""

    def __init__(self, table: Tensor):
        if table.ndim != 2 or table.shape[0] > table.shape[1] or table.shape[1] < 2:
            raise ValueError(f"DenseScores takes a table of pairs by at least 2 candidates, got {tuple(table.shape)}")
        self.table, self.positives, self.candidates = table, table.diagonal(), table.shape[1]

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
