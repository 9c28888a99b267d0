"""A value with its standard error, and the reasons why it is no estimate."""

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
        """The mean of independent terms, [N]; the error is NaN for a single term."""
        deviation = terms.std().item() if len(terms) > 1 else math.nan
        return cls(terms.mean().item(), deviation / math.sqrt(len(terms)))

    @classmethod
    def of_table(cls, estimate: Callable[[Tensor], Tensor], table: Tensor) -> "Estimate":
        """estimate(table), scores of all pairs [B, B]; the error by a block jackknife over tenths of the pairs."""
        pairs = torch.arange(len(table))
        rest = [pairs[~torch.isin(pairs, block)] for block in pairs.chunk(min(BLOCKS, len(table)))]
        # A pair is left out with its row and its column: the entries of a row are dependent.
        values = torch.stack([estimate(table[rows][:, rows]) for rows in rest]).double()
        error = ((len(values) - 1) * values.var(correction=0)).sqrt()
        return cls(estimate(table).item(), error.item())

    def failure(self) -> str | None:
        """Why this is no estimate of I, or None. I is at least 0, and a value below its error is uninformative."""
        if not math.isfinite(self.value) or not math.isfinite(self.error):
            return "not finite"
        if self.error == 0:
            return "too few pairs: nothing varies"
        if self.value < -0.5 and self.value < -3 * self.error:
            return f"diverged: reads {self.value:.3g}, where I is at least 0"
        return f"diverged: standard error {self.error:.2g}" if self.error > max(1.0, abs(self.value)) else None
