"""The one value that `ssvae mi` recommends, its interval, and the reason."""

import math
from typing import NamedTuple

from ssvae_cli.evaluation.estimate import Z95, Estimate
from ssvae_cli.mi.classical import overlooked
from ssvae_cli.mi.discrete import upper_bound
from ssvae_cli.mi.problem import NOTHING, Problem, Reading

ROOM = 1.0  # nats below a ceiling, where a bound saturates
EDGES = 0.02  # of the value: what neighbours and densities miss at the edges of a density, which no data show
APART = 1.0  # errors of both, by which the lower of two methods is held to have missed something
CERTAIN = 3.0  # errors below a lower bound, below which no interval begins
FEW, FEWEST = 50, 24  # pairs: with fewer a dependence that is not normal hardly shows, or not at all
CHANCE = 0.8  # nats / sqrt(N): the same where I is small


class Line(NamedTuple):
    """A line of the table. shuffled: the estimate on shuffled pairs, None if not requested. fault: what a user's own
    method did instead of answering."""

    name: str
    relation: str  # of its expectation to I
    ceiling: float  # its largest possible value, nats
    reading: Reading
    shuffled: Estimate | None
    fault: str | None = None

    @property
    def estimate(self) -> Estimate:
        return self.reading.estimate

    @property
    def failure(self) -> str | None:
        return self.fault or ("too few pairs" if self.estimate is NOTHING else self.estimate.failure())

    @property
    def at_ceiling(self) -> bool:
        """Within one nat of its ceiling, where a bound saturates."""
        return self.failure is None and self.estimate.value > self.ceiling - ROOM

    @property
    def above_zero_on_shuffled(self) -> bool:
        """Larger on shuffled pairs than chance plus 0.05 nats. Below 0 it is only a loose bound."""
        return self.shuffled is not None and not self.shuffled.value <= 0.05 + 3 * self.shuffled.error

    @property
    def is_candidate(self) -> bool:
        """Of all pairs, with a log ratio or a growth that tells how good it is; critics give bounds alone."""
        return bool(self.reading.growth) or self.reading.terms is not None

    def note(self) -> str:
        notes = [
            self.failure and f"failed: {self.failure}",
            self.at_ceiling and f"at its ceiling of {self.ceiling:.2f} nats: I may be larger",
            self.failure is None and self.above_zero_on_shuffled and "above 0 on shuffled pairs",
        ]
        return "; ".join(note for note in notes if note)


class Recommended(NamedTuple):
    """low, high: a 95% interval; high is infinite where only a bound stands. NaN if no estimate is valid."""

    value: float
    low: float
    high: float
    why: str


class Candidate(NamedTuple):
    """A value for I, and its error: of the sample, of the fit, and of what more pairs would add."""

    name: str
    value: float
    error: float
    drift: float  # what more pairs are expected to add; half of it is in the value

    @property
    def seen(self) -> float:
        """The value without what more pairs would add."""
        return self.value - self.drift / 2


def informative(one: Candidate) -> bool:
    """Whether its error says more than that it failed; if not, the interval does not reach up to it."""
    return one.error <= max(1.0, one.value / 2)


def candidate(line: Line, count: int) -> Candidate:
    """The estimate, carried half of the way to infinitely many pairs, with the other half as an error.

    If each doubling adds a share q of what the doubling before added, all further ones add growth q / (1 - q).
    """
    value, error = line.estimate
    drift = unsure = 0.0
    if line.reading.growth:
        last, *earlier = line.reading.growth
        share = line.reading.settles
        if earlier and earlier[0].value > 3 * earlier[0].error and last.value > 3 * last.error:
            share = min(max(share, last.value / earlier[0].value), 0.8)
        certain = last.value**2 / (last.value**2 + last.error**2) if last.value > 0 else 0.0
        drift, unsure = (growth * share / (1 - share) for growth in (certain * last.value, last.error))
    fit = CHANCE / math.sqrt(count) + EDGES * abs(value) if line.reading.growth else 0.0
    error = math.sqrt(error**2 + (drift / 2) ** 2 + (unsure / 2) ** 2 + fit**2)
    return Candidate(line.name, value + drift / 2, error, drift)


def recommend(lines: list[Line], problem: Problem) -> Recommended:
    """The mean of the methods that held-out lower bounds do not refute, weighted by their errors.

    None is taken to lie below a lower bound. The interval holds the smallest of their errors and their spread, reaches
    up as `upper_end` says, and down to three errors below a lower bound at most. Counts, where they apply, stand alone.
    """
    valid = [line for line in lines if line.failure is None and not line.above_zero_on_shuffled]
    most = upper_bound(problem), upper_bound(problem, Z95)
    if answer := answered_at_once(lines, valid, problem, most):
        return answer
    floor = lower_bounds(valid, len(problem))
    standing = those_that_stand(valid, floor, problem)
    if not standing:
        return at_least(floor, most[1])
    weights = [1 / one.error**2 for one in standing]
    mean = sum(w * one.value for w, one in zip(weights, standing)) / sum(weights)
    spread = sum(w * (one.value - mean) ** 2 for w, one in zip(weights, standing)) / sum(weights)
    error = math.sqrt(min(one.error for one in standing) ** 2 + spread)
    names = ", ".join(one.name for one in standing)
    why = f"agreement of {names}" if len(standing) > 1 else f"{names} alone stands"
    unsettled = [one for one in standing if one.drift > 0.05 + 0.1 * mean]
    first = min(standing, key=lambda one: one.error)
    if first in unsettled:
        why += f"; more pairs are needed: {first.name} still grows, by about {first.drift:.2f} nats with many more"
    best = interval(mean, error, most, why)
    high, why = upper_end(best, standing, problem)
    if unsettled == standing and any(keeps_growing(line) for line in valid):
        high = math.inf
    certain = max((value - CERTAIN * error for _, (value, error) in floor), default=0.0)
    low = max(best.low, min(certain, best.value))
    return best._replace(low=low, high=min(high, most[1]), why=why)


def answered_at_once(
    lines: list[Line], valid: list[Line], problem: Problem, most: tuple[float, float]
) -> Recommended | None:
    """What is recommended where no methods are weighed: I is infinite, or no end of it shows, counts serve, or no
    method takes such pairs; None where they are."""
    if problem.infinite:
        return Recommended(math.inf, math.inf, math.inf, "x and y share a continuous coordinate: I is infinite")
    if not lines:
        return Recommended(*[math.nan] * 3, "none that is left takes such pairs")
    if exact := [line for line in valid if line.relation == "equal"]:
        value, error = exact[0].estimate
        return interval(value, error, most, f"{exact[0].name}: both sides have few values")
    if endless := [line for line in valid if grows_without_end(line) or (problem.ordered and line.reading.growth)]:
        best = max(endless, key=lambda line: line.estimate.value)  # all read too little there
        value, error = best.estimate
        why = f"{best.name} grows by log 2 with each doubling of the pairs, as if there were no noise"
        if problem.ordered:
            why = f"{best.name}; a column of x orders the rows as one of y does, as if there were no noise"
        return Recommended(min(value, most[0]), min(max(0.0, value - 1.64 * error), most[1]), most[1], why)
    return None


def those_that_stand(valid: list[Line], floor: list[tuple[str, Estimate]], problem: Problem) -> list[Candidate]:
    """The candidates that no lower bound and no other method refutes; none lies below a lower bound."""
    refuted = lambda one: any(one.value + one.error < value - error for _, (value, error) in floor)
    behind = {b.name for a in valid for b in valid if is_ahead(a, b, problem)}
    may_be = [e for e in valid if e.is_candidate and e.name not in behind and consistent(e, len(problem))]
    standing = [one for one in (candidate(line, len(problem)) for line in may_be) if not refuted(one)]
    top = max((one.seen - APART * one.error for one in standing), default=0.0)
    least = max((bound for _, bound in floor), key=lambda one: one.value - one.error, default=Estimate(0.0, 0.0))
    highest = [one for one in standing if one.value + APART * one.error >= top]  # most methods err downward
    return [lifted(one, least) for one in highest]


def lifted(one: Candidate, bound: Estimate) -> Candidate:
    """The candidate, no lower than an error below a lower bound; where that lifts it, unsure by its error too."""
    least = bound.value - bound.error
    if one.value >= least:
        return one
    return one._replace(value=least, error=math.hypot(one.error, bound.error))


def upper_end(best: Recommended, standing: list[Candidate], problem: Problem) -> tuple[float, str]:
    """Where the interval ends, and the reason: at the largest of the candidates, of few pairs twice as far, further by
    what the Gaussian copula finds in columns without a link, and nowhere where too few pairs show a dependence."""
    highest = max((one.value + one.error / 2 for one in standing if informative(one)), default=0.0)
    high, why = max(best.high, highest), best.why
    if len(problem) < FEW:
        high += high - best.value
    if more := overlooked(problem):
        high, why = high + more, f"{why}; columns without their own link seem to add {more:.2f} nats together"
    if len(problem) < FEWEST:
        high, why = math.inf, f"{why}; {FEWEST} pairs are needed for an upper end"
    return high, why


def grows_without_end(line: Line) -> bool:
    """Whether every doubling adds about log 2, as where y is a function of x: neighbours then only come nearer."""
    return len(line.reading.growth) > 1 and all(
        abs(growth.value - math.log(2)) < 0.15 for growth in line.reading.growth
    )


def keeps_growing(line: Line) -> bool:
    """Whether the last doubling added about as much as the one before it, so that nothing shows an end: as where a part
    of the pairs, or of the coordinates, is without noise, or where neighbours only begin to see a fast oscillation."""
    if len(line.reading.growth) < 2:
        return False
    last, before = line.reading.growth[:2]
    return last.value > max(0.1, 3 * last.error) and last.value > 0.85 * before.value


def lower_bounds(lines: list[Line], count: int) -> list[tuple[str, Estimate]]:
    """Those whose variance does not grow like e^I, or that lie well below the log of the number of pairs."""
    found = [(e.name, e.estimate) for e in lines if e.relation == "lower bound" and math.isfinite(e.ceiling)]
    found += [(e.name, e.estimate) for e in lines if e.relation == "lower bound" and e.reading.growth]
    found += [(e.name, e.reading.bound) for e in lines if e.reading.bound]
    return [(name, bound) for name, bound in found if bound.value < math.log(count) - ROOM and bound.failure() is None]


def consistent(line: Line, count: int) -> bool:
    """Whether the mean of e^T over independent pairs is 1, as of a true ratio; unknown where I is large."""
    bound = line.reading.bound
    if bound is None or line.estimate.value > math.log(count) - ROOM:
        return True
    return line.estimate.value - bound.value < 3 * bound.error + CHANCE / math.sqrt(count)


def is_ahead(a: Line, b: Line, problem: Problem) -> bool:
    """Whether the lower bound of `a` lies above the estimate of `b`, by two errors of their difference over pairs."""
    if a is b or a.reading.bound is None or a.reading.terms is None or b.reading.terms is None:
        return False
    if a.estimate.value > math.log(len(problem)) - ROOM:
        return False
    apart = problem.mean(a.reading.terms - b.reading.terms).error
    return a.reading.bound.value - b.estimate.value > 2 * apart + CHANCE / math.sqrt(len(problem))


def at_least(floor: list[tuple[str, Estimate]], most: float) -> Recommended:
    """The largest lower bound, with no upper end but `most`; nothing where none is above 0, as any I is."""
    if not floor:
        return Recommended(math.nan, math.nan, math.nan, "no estimate stands: more pairs are needed")
    name, (value, error) = max(floor, key=lambda one: one[1].value - 1.64 * one[1].error)
    if value <= 0:
        why = "no estimate stands, and no lower bound is above 0: more pairs are needed"
        return Recommended(math.nan, math.nan, math.nan, why)
    low = max(0.0, value - 1.64 * error)
    return Recommended(value, low, most, f"{name}, a lower bound, lies above all other estimates")


def interval(value: float, error: float, most: tuple[float, float], why: str) -> Recommended:
    """The 95% interval, from 0 on. most: what the value, and the interval, cannot exceed."""
    low, high = (max(0.0, value + side * error) for side in (-Z95, Z95))
    return Recommended(min(max(0.0, value), most[0]), min(low, most[0]), min(high, most[1]), why)
