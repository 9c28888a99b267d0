"""I(x; y | z): the mean over the classes of z where it has few, else a difference of two informations."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from ssvae_cli.errors import require
from ssvae_cli.evaluation.estimate import Z95, Estimate
from ssvae_cli.mi.columns import classes, varying
from ssvae_cli.mi.data import pose
from ssvae_cli.mi.problem import Problem, Reading
from ssvae_cli.mi.recommend import Line, Recommended
from ssvae_cli.mi.splits import Split

MOST_CLASSES = 10  # of z that are read one by one
FEWEST_PAIRS = 20  # in each of them

Concluded = tuple[list[Line], Recommended]


def given(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, split: Split, seed: int
) -> tuple[list[Problem], Callable[[Sequence[Concluded]], Concluded]]:
    """(The problems, [N, d] each, that tell I(x; y | z); what their conclusions make together).

    Raises UserError where z leaves nothing to x or to y."""
    rows = rows_by_class(z, split)
    if not rows:
        return [pose(np.hstack([x, z]), y, split, seed), pose(z, y, split, seed)], difference
    parts = [(len(here) / len(z), varying(x[here]), varying(y[here])) for here in rows]
    parts = [part for part in parts if all(side.shape[1] for side in part[1:])]  # I is 0 in the others
    require(len(parts) > 0, "x or y is constant in each class of z: I(x; y | z) is 0")
    problems = [pose(*sides, split, seed) for _, *sides in parts]
    return problems, lambda found: mean_over_classes([share for share, *_ in parts], len(z), found)


def rows_by_class(z: np.ndarray, split: Split) -> list[np.ndarray]:
    """The rows of each class of z, [N, d]; none if the classes are many or small, or if the rows are a time series."""
    codes = classes(z)
    rows = [] if codes is None else [np.flatnonzero(codes.numpy() == code) for code in codes.unique().tolist()]
    fits = len(rows) <= MOST_CLASSES and all(len(here) >= FEWEST_PAIRS for here in rows)
    return rows if fits and split.independent else []


def mean_over_classes(shares: Sequence[float], count: int, found: Sequence[Concluded]) -> Concluded:
    """sum_k p(k) I(x; y | z = k), line by line, of the classes that can have any, of `count` pairs with the others.

    Errors as of independent samples, with that of the shares p(k)."""

    def of_shares(values: Sequence[float]) -> float:
        mean, square = (math.fsum(p * value**power for p, value in zip(shares, values)) for power in (1, 2))
        return math.sqrt(max(0.0, square - mean**2) / count)

    by_class = [{line.name: line for line in lines} for lines, _ in found]
    lines = []
    for name in by_class[0]:
        if all(name in of_class for of_class in by_class):
            parts = [of_class[name] for of_class in by_class]
            values, errors = zip(*(line.estimate for line in parts))
            weighted = lambda numbers: [p * number for p, number in zip(shares, numbers)]
            error = math.hypot(of_shares(values), *weighted(errors))
            lines.append(_line(parts, math.fsum(weighted(values)), error))
    best = [best for _, best in found]
    said = ", ".join(f"{one.value:.3f} nats ({one.why})" for one in best)
    if any(math.isnan(one.value) for one in best):
        return lines, Recommended(*[math.nan] * 3, f"no estimate stands in a class of z: {said}")
    error = of_shares([one.value for one in best])
    return lines, combined(list(zip(shares, best)), f"mean over the classes of z: {said}", error)


def difference(found: Sequence[Concluded]) -> Concluded:
    """I((x, z); y) - I(z; y), line by line; errors as if both were independent."""
    (lines, joint), (others, of_z) = found
    of_name = {line.name: line for line in others}
    both = [(line, of_name[line.name]) for line in lines if line.name in of_name]
    estimates = [((a, b), a.estimate, b.estimate) for a, b in both]
    lines = [_line(parts, a.value - b.value, math.hypot(a.error, b.error)) for parts, a, b in estimates]
    if not math.isfinite(of_z.high if math.isinf(joint.value) else joint.value - of_z.value):
        said = f"I(x, z; y): {joint.why}; I(z; y): {of_z.why}"
        return lines, Recommended(*[math.nan] * 3, f"no estimate of the difference stands: {said}")
    parts = [f"{one.value:.3f} nats ({one.why})" for one in (joint, of_z)]
    why = f"I(x, z; y) = {parts[0]}, less I(z; y) = {parts[1]}"
    return lines, combined([(1, joint), (-1, of_z)], why)


def combined(parts: Sequence[tuple[float, Recommended]], why: str, error: float = 0.0) -> Recommended:
    """The sum of weight * I over the parts, at least 0; error: of the weights. The interval reaches at most as far as
    all parts' intervals together, and the error. It is infinite, without an interval, where the I of a part is."""
    value = math.fsum(weight * best.value for weight, best in parts)
    if math.isinf(value):
        return Recommended(*[math.inf] * 3, why)
    reach = [(weight, *reaches(best)) for weight, best in parts]
    down, up = (
        math.hypot(Z95 * error, *(weight * (below, above)[(weight > 0) == rises] for weight, below, above in reach))
        for rises in (False, True)
    )
    low, high = (
        math.fsum(weight * (best.low, best.high)[(weight > 0) == rises] for weight, best in parts)
        for rises in (False, True)
    )
    low, high = max(value - down, low - Z95 * error), min(value + up, high + Z95 * error)
    return Recommended(max(0.0, value), max(0.0, low), max(0.0, high), why)


def reaches(best: Recommended) -> tuple[float, float]:
    """How far the interval reaches down and up: where it was cut off, at 0 or at what I can be, as far as elsewhere."""
    down, up = best.value - best.low, best.high - best.value
    return (max(down, up) if best.low == 0 and math.isfinite(up) else down), max(down, up)


def _line(parts: Sequence[Line], value: float, error: float) -> Line:
    """Of one method: what its lines make together."""
    fault = next((line.fault for line in parts if line.fault), None)
    return Line(parts[0].name, "no bound", math.inf, Reading(Estimate(value, error)), None, fault)
