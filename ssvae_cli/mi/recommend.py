"""The one value that `ssvae mi` stands by, its interval, and why."""

import math
from typing import NamedTuple

from ssvae_cli.evaluation.estimate import Estimate


class Line(NamedTuple):
    """A line of the table. shuffled: the same on shuffled pairs, None where that was not asked for."""

    name: str
    relation: str  # of its expectation to I
    ceiling: float  # the most it can read, nats
    estimate: Estimate
    step: int | None  # of training, as validation chose it
    shuffled: Estimate | None

    @property
    def failure(self) -> str | None:
        return self.estimate.failure()

    @property
    def at_ceiling(self) -> bool:
        """Within a nat of its ceiling, where a bound flattens."""
        return self.failure is None and self.estimate.value > self.ceiling - 1

    @property
    def finds_what_is_not_there(self) -> bool:
        """Reads more on shuffled pairs than chance and 0.05 nats explain. Less than 0 is a loose bound, no more."""
        return self.shuffled is not None and not self.shuffled.value <= 0.05 + 3 * self.shuffled.error

    def note(self) -> str:
        notes = [
            self.failure and f"failed: {self.failure}",
            self.at_ceiling and f"at its ceiling of {self.ceiling:.2f}: I may be larger",
            self.failure is None and self.finds_what_is_not_there and "above 0 on shuffled pairs",
        ]
        return "; ".join(note for note in notes if note)


class Recommended(NamedTuple):
    """low, high: about 95 of 100 such intervals hold what the estimate is of. NaN where no estimate stands."""

    value: float
    low: float
    high: float
    why: str


def recommend(estimates: list[Line]) -> Recommended:
    """The difference of entropies, unless it failed or K-way InfoNCE, a lower bound of low variance, lies above it.

    The other bounds on scores are not asked: beyond a few nats they need e^I pairs, and their errors do not show it.
    """
    standing = {e.name: e for e in estimates if e.failure is None and not e.finds_what_is_not_there}
    entropies, infonce = standing.get("entropies"), standing.get("infonce")
    if entropies and infonce:
        apart = infonce.estimate.value - entropies.estimate.value
        if apart > 2 * math.hypot(infonce.estimate.error, entropies.estimate.error):
            return _interval(
                infonce, "infonce, a lower bound, lies above the difference of entropies: I is at least this"
            )
    if entropies:
        return _interval(entropies, "difference of entropies: no ceiling, small variance, and infonce lies no higher")
    if infonce:
        return _interval(infonce, "infonce: the difference of entropies does not stand; this is a lower bound")
    if "ksg" in standing:
        return _interval(standing["ksg"], "ksg: no trained estimate stands")
    return Recommended(math.nan, math.nan, math.nan, "no estimate stands: more pairs are needed")


def _interval(line: Line, why: str) -> Recommended:
    value, error = line.estimate
    return Recommended(*(max(0.0, v) for v in (value, value - 1.96 * error, value + 1.96 * error)), why)
