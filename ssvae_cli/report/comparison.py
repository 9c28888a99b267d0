"""Means over seeds, and whether a difference of two settings is within noise."""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple

SPREADS = ("deviation", "standard_error")


class Estimate(NamedTuple):
    """A mean over seeds. deviation: the sample standard deviation, None for a single value."""

    mean: float
    deviation: float | None
    count: int

    @property
    def standard_error(self) -> float | None:
        return None if self.deviation is None else self.deviation / math.sqrt(self.count)


def estimate(values: Iterable[float]) -> Estimate | None:
    """The mean of some values; None if there is none."""
    numbers = list(values)
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Estimate(statistics.fmean(numbers), deviation, len(numbers)) if numbers else None


def is_within_noise(x: Mapping[int, float], y: Mapping[int, float], confidence: float) -> bool | None:
    """Whether the means of two settings, seed -> value, are within noise; None where nothing tells the noise.

    A two-sided t-test: paired where they share two seeds or more, Welch's otherwise."""
    shared = sorted(set(x) & set(y))
    if len(shared) > 1:
        difference = estimate(x[seed] - y[seed] for seed in shared)
        return is_small(difference.mean, difference.standard_error, len(shared) - 1, confidence)
    if min(len(x), len(y)) < 2:
        return None
    a, b = estimate(x.values()), estimate(y.values())
    parts = [e.standard_error**2 for e in (a, b)]
    weight = sum(part**2 / (e.count - 1) for part, e in zip(parts, (a, b)))
    freedom = sum(parts) ** 2 / weight if weight else 1.0
    return is_small(a.mean - b.mean, math.sqrt(sum(parts)), freedom, confidence)


def is_small(difference: float, error: float, freedom: float, confidence: float) -> bool:
    """Whether a difference is not significant by Student's t."""
    from scipy.special import stdtrit

    return abs(difference) <= float(stdtrit(freedom, (1 + confidence) / 2)) * error
