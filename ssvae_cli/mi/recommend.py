"""The one value that `ssvae mi` recommends, its interval, and the reason."""

import math
from typing import NamedTuple

from ssvae_cli.evaluation.estimate import Estimate


class Line(NamedTuple):
    """A line of the table. shuffled: the estimate on shuffled pairs, None if not requested."""

    name: str
    relation: str  # of its expectation to I
    ceiling: float  # its largest possible value, nats
    estimate: Estimate
    step: int | None  # of training, chosen on validation
    shuffled: Estimate | None

    @property
    def failure(self) -> str | None:
        return self.estimate.failure()

    @property
    def at_ceiling(self) -> bool:
        """Within one nat of its ceiling, where a bound saturates."""
        return self.failure is None and self.estimate.value > self.ceiling - 1

    @property
    def above_zero_on_shuffled(self) -> bool:
        """Larger on shuffled pairs than chance plus 0.05 nats. Below 0 it is only a loose bound."""
        return self.shuffled is not None and not self.shuffled.value <= 0.05 + 3 * self.shuffled.error

    def note(self) -> str:
        notes = [
            self.failure and f"failed: {self.failure}",
            self.at_ceiling and f"at its ceiling of {self.ceiling:.2f}: I may be larger",
            self.failure is None and self.above_zero_on_shuffled and "above 0 on shuffled pairs",
        ]
        return "; ".join(note for note in notes if note)


class Recommended(NamedTuple):
    """low, high: a 95% interval of what is estimated. NaN if no estimate is valid."""

    value: float
    low: float
    high: float
    why: str


def recommend(estimates: list[Line]) -> Recommended:
    """The difference of entropies, unless it failed or K-way InfoNCE, a lower bound of low variance, lies above it.

    The other bounds on scores are not used: beyond a few nats they need e^I pairs, and their errors do not show it."""
    valid = {e.name: e for e in estimates if e.failure is None and not e.above_zero_on_shuffled}
    entropies, infonce = valid.get("entropies"), valid.get("infonce")
    if entropies and infonce:
        excess = infonce.estimate.value - entropies.estimate.value
        if excess > 2 * math.hypot(infonce.estimate.error, entropies.estimate.error):
            why = "infonce, a lower bound, lies above the difference of entropies: I is at least this"
            return _interval(infonce, why)
    if entropies:
        return _interval(entropies, "difference of entropies: no ceiling, small variance, and infonce lies no higher")
    if infonce:
        return _interval(infonce, "infonce: the difference of entropies does not stand; this is a lower bound")
    if "ksg" in valid:
        return _interval(valid["ksg"], "ksg: no trained estimate stands")
    return Recommended(math.nan, math.nan, math.nan, "no estimate stands: more pairs are needed")


def _interval(line: Line, why: str) -> Recommended:
    value, error = line.estimate
    return Recommended(*(max(0.0, v) for v in (value, value - 1.96 * error, value + 1.96 * error)), why)
