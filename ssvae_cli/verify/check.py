"""One identity: what it must be, what the shipped classes make of it, and the verdict."""

from dataclasses import dataclass
from typing import Literal

ROUNDING = 1e-12  # of an exact sum in float64
DEVIATIONS = 4.0  # standard errors that an estimate may be off


@dataclass(frozen=True)
class Check:
    """estimate = expected (or at most, or at least), to DEVIATIONS standard errors and `slack`; nats.

    expected: a closed form or an exact sum, written out apart from the classes it is to judge. error: the estimate's
    standard error, 0 for a sum. slack: rounding, or a bias of known order.
    """

    equation: str
    claim: str
    expected: float
    estimate: float
    error: float = 0.0
    slack: float = ROUNDING
    relation: Literal["=", "<=", ">="] = "="

    @property
    def excess(self) -> float:
        """How far the estimate is on the wrong side, nats; at most `tolerance` in a check that holds."""
        off = self.estimate - self.expected
        return {"=": abs(off), "<=": off, ">=": -off}[self.relation]

    @property
    def tolerance(self) -> float:
        return DEVIATIONS * self.error + self.slack

    @property
    def holds(self) -> bool:
        """False also for NaN."""
        return self.excess <= self.tolerance
