"""A number that cannot be estimated, and why: null in files, a dash in tables, its reason in the log."""

import math
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass

DASH = "–"
MOST_NAMED = 8  # numbers in a line of the log
REASONS = "reasons.json"  # in the folder of summary.json: why a number of it is null, by its name


@dataclass(frozen=True)
class Missing:
    """Takes the place of a number that cannot be estimated. None, in contrast, is a number that does not apply."""

    reason: str


UNREAD = Missing("not read; ssvae eval RUN evaluation=full reads it")  # by the run's evaluation


def explained(values: Mapping[str, object], source: str) -> dict:
    """The same values, a number that is not finite, or that no float holds, replaced by a Missing that names its
    source."""
    fits = lambda value: not isinstance(value, (int, float)) or abs(value) <= sys.float_info.max
    why = lambda value: Missing(f"{source} gave {reprlib.repr(value)}")
    return {name: value if fits(value) else why(value) for name, value in values.items()}


def as_python(value: object) -> object:
    """Python's own number for true, false, and one of numpy or torch, [], as a user's metric may give them; any other
    value as it is."""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
    return int(value) if isinstance(value, bool) else value


def plain(value: object) -> object:
    """A JSON value: null for a Missing, and for NaN and infinities, which JSON lacks."""
    value = as_python(value)
    unknown = isinstance(value, Missing) or (isinstance(value, float) and not math.isfinite(value))
    return None if unknown else value


def reasons(values: Mapping[str, object]) -> dict[str, str]:
    """Why numbers are missing, by their names."""
    return {name: value.reason for name, value in values.items() if isinstance(value, Missing)}


def lines(reasons: Mapping[str, str]) -> list[str]:
    """A line for each reason, with the names that it explains."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    return [f"{DASH} {listed(of_reason)}: {reason}" for reason, of_reason in names.items()]


def listed(names: list[str]) -> str:
    """The names, of many the first alone."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
