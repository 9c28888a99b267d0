"""A value with its standard error, and when it is no value at all."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

BLOCKS = 10


class Estimate(NamedTuple):
    """An estimate and its standard error."""

    value: float
    error: float

    @classmethod
    def of_mean(cls, terms: Tensor) -> "Estimate":
        """The mean of independent terms, [N]; one alone has no error, which is then NaN."""
        deviation = terms.std().item() if len(terms) > 1 else math.nan
        return cls(terms.mean().item(), deviation / math.sqrt(len(terms)))

    @classmethod
    def of_table(cls, estimate: Callable[[Tensor], Tensor], table: Tensor) -> "Estimate":
        """estimate(table), scores of all pairs [B, B]; its error by leaving out a tenth of the pairs at a time.

        A pair leaves with its row and its column, so that what a row's entries share is counted (a block jackknife).
        """
        rows = torch.arange(len(table)).chunk(min(BLOCKS, len(table)))
        left = []
        for block in rows:
            kept = torch.ones(len(table), dtype=torch.bool)
            kept[block] = False
            left.append(estimate(table[kept][:, kept]))
        left = torch.stack(left).double()
        error = ((len(left) - 1) * left.var(correction=0)).sqrt()
        return cls(estimate(table).item(), error.item())

    def failure(self) -> str | None:
        """Why this is no estimate of I, or None: I is at least 0, and a value smaller than its error says nothing."""
        if not math.isfinite(self.value) or not math.isfinite(self.error):
            return "not finite"
        if self.error == 0:
            return "too few pairs: nothing varies"
        if self.value < -0.5 and self.value < -3 * self.error:
            return f"diverged: reads {self.value:.3g}, where I is at least 0"
        if self.error > max(1.0, abs(self.value)):
            return f"diverged: standard error {self.error:.2g}"
        return None
