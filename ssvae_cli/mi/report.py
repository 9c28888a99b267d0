"""The results of `ssvae mi` as numbers: summary.json, and the table on standard output."""

import math
import re

from ssvae_cli.mi.recommend import Line, Recommended, candidate
from ssvae_cli.tracking.missing import DASH, plain
from ssvae_cli.tracking.tables import number, output, show

UNITS = {"nats": 1.0, "bits": 1 / math.log(2)}


def summary(lines: list[Line], best: Recommended, count: int) -> dict:
    """Flat, as JSON, in nats; null for an estimate that failed and for what does not apply."""
    values = {f"mi/recommended/{key}": value for key, value in best._asdict().items()}
    values = {"mi/recommended": values.pop("mi/recommended/value")} | values
    for e in lines:
        values |= {
            f"mi/{e.name}/test": None if e.failure else e.estimate.value,
            f"mi/{e.name}/error": None if e.failure else e.estimate.error,
            f"mi/{e.name}/growth": e.reading.growth[0].value if e.reading.growth else None,
            **extrapolated(e, count),
            f"mi/{e.name}/failure": e.failure,
            f"mi/{e.name}/ceiling": e.ceiling,
            f"mi/{e.name}/relation": e.relation,
            f"mi/{e.name}/step": e.reading.curve and e.reading.curve.chosen,
            f"mi/{e.name}/shuffled": e.shuffled and e.shuffled.value,
            f"mi/{e.name}/shuffled_error": e.shuffled and e.shuffled.error,
        }
    return {key: plain(value) for key, value in values.items()}


def extrapolated(line: Line, count: int) -> dict:
    """What the estimate would be with many more pairs, and the error of that."""
    known = candidate(line, count) if line.failure is None and line.reading.growth else None
    return {
        f"mi/{line.name}/extrapolated": known and known.value,
        f"mi/{line.name}/extrapolated_error": known and known.error,
    }


def table(lines: list[Line], best: Recommended, exact: float | None, unit: str) -> None:
    """The lines and the recommended value, on standard output."""
    scaled = lambda value: "" if value is None or math.isinf(value) else number(plain(UNITS[unit] * value), 3)
    rows = []
    for e in lines:
        reading, at_least = e.reading, "at least " if e.relation == "lower bound" else ""
        value, error = (DASH, "") if e.failure else (at_least + scaled(e.estimate.value), scaled(e.estimate.error))
        growth = scaled(reading.growth[0].value) if reading.growth and not e.failure else ""
        shuffled = scaled(e.shuffled.value) if e.shuffled else ""
        step = str(reading.curve.chosen) if reading.curve else ""
        note = in_unit(e.note(), unit)
        rows.append((e.name, value, error, growth, e.relation, scaled(e.ceiling), step, shuffled, note))
    headings = ("method", f"I, {unit}", "+-", "growth", "relation to I", "ceiling", "step", "shuffled", "note")
    show(headings, rows, text=("relation to I", "note"))
    console = output()
    console.print(f"\nrecommended: {said(best, unit)}")
    if not math.isnan(best.value):
        console.print(f"why: {in_unit(best.why, unit)}")
    if exact is not None:
        console.print(f"exact: {scaled(exact)} {unit}")


def in_unit(text: str, unit: str) -> str:
    """A note or a reason, which are in nats, with its numbers in the unit."""
    return re.sub(r"(\d+\.(\d+)) nats", lambda m: f"{UNITS[unit] * float(m[1]):.{len(m[2])}f} {unit}", text)


def said(best: Recommended, unit: str) -> str:
    """The recommended value with its interval, in words."""
    if math.isnan(best.value):
        return f"nothing: {in_unit(best.why, unit)}"
    value, low, high = (f"{UNITS[unit] * bound:.3f}" for bound in (best.value, best.low, best.high))
    if math.isinf(best.value):
        return "infinite"
    if math.isinf(best.high):
        return f"at least {low} {unit} (95%, one-sided); best guess {value}"
    return f"{value} {unit}, 95% interval {low} to {high}"


def lags(found: dict[int, Recommended], unit: str) -> None:
    """A line for each lag, on standard output."""
    for lag, best in found.items():
        print(f"lag {lag:>4}: {said(best, unit)}")
    known = {lag: best for lag, best in found.items() if not math.isnan(best.value)}
    if known:
        lag, best = max(known.items(), key=lambda item: item[1].value)
        largest = "infinite" if math.isinf(best.value) else f"{best.value * UNITS[unit]:.3f} {unit}"
        print(f"\nlargest: {largest} at lag {lag}")


def lags_summary(found: dict[int, Recommended]) -> dict:
    """Flat, in nats."""
    return {
        f"mi/lag/{lag}{end}": getattr(best, name)
        for lag, best in found.items()
        for name, end in (("value", ""), ("low", "/low"), ("high", "/high"))
    }
