"""One identity: the expected value, the estimate of the shipped classes, and the verdict."""

import math
from dataclasses import dataclass
from typing import Literal

ROUNDING = 1e-12  # of an exact sum in float64
DEVIATIONS = 4.0  # allowed error of an estimate, in standard errors


@dataclass(frozen=True)
class Check:
    """estimate = expected (or at most, or at least), within DEVIATIONS standard errors plus `slack`; nats."""

    equation: str
    claim: str
    expected: float  # a closed form or an exact sum, independent of the classes under test
    estimate: float
    error: float = 0.0  # the estimate's standard error; 0 for a sum
    slack: float = ROUNDING  # or a bias of known order
    relation: Literal["=", "<=", ">="] = "="

    @property
    def excess(self) -> float:
        """The error of the estimate in the wrong direction, nats; at most `tolerance` in a check that holds."""
        off = self.estimate - self.expected
        return {"=": abs(off), "<=": off, ">=": -off}[self.relation]

    @property
    def tolerance(self) -> float:
        return DEVIATIONS * self.error + self.slack

    @property
    def verdict(self) -> str:
        """Whether it holds; if not, by how much it fails, or why that is unknown."""
        if self.holds:
            return "holds"
        known = math.isfinite(self.excess) and math.isfinite(self.tolerance)
        return f"FAILS by {self.excess:.1e}" if known else f"FAILS: it reads {self.estimate} +- {self.error}"

    @property
    def holds(self) -> bool:
        """False also for NaN."""
        return self.excess <= self.tolerance
