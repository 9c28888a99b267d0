"""Series of unequal length: where each ends, and numbers that are missing inside it."""

from collections.abc import Callable

import numpy as np

from ssvae_cli.datasets.io.rows import chunks
from ssvae_cli.errors import require

Named = dict[str, np.ndarray]  # the arrays of one part of a file: x, and perhaps length, factors
FEWEST = 3  # series of a file that is split here
PIECES = "cut a long series into pieces, [N, T, D]"
NO_CATEGORY = {"U": "", "S": b"", "i": -1}  # what says that there is none, of words and of integers


def padded(path: str, parts: dict[str, Named], *, mask: bool) -> dict[str, Named]:
    """The arrays of all parts, padded to the longest series of them all; each part as in `padded_part`."""
    here = lambda part: lambda name: f"{path}: {name}{part}"
    parts = {part: padded_part(here(part), named, mask=mask) for part, named in parts.items()}
    shapes = [named["x"].shape for named in parts.values()]
    if min(map(len, shapes)) < 2:
        return parts  # refused where the axes of x are looked at
    count = len(parts[""]["x"]) if "" in parts else FEWEST
    needed = f"at least {FEWEST} series are needed, one for train, validation and test, got {count}"
    require(count >= FEWEST, f"{path}: {needed}; {PIECES}")
    return {part: lengthened(named, max(shape[1] for shape in shapes)) for part, named in parts.items()}


def lengthened(named: Named, steps: int) -> Named:
    """The arrays with x [N, steps, ...] and factors of steps in the same way, and `length` where that adds padding."""
    x, factors = named["x"], named.get("factors")
    own = x.shape[1]
    if own == steps:
        return named
    named = {"length": np.full(len(x), own)} | named | {"x": _with_steps(x, steps, 0)}
    if factors is not None and factors.ndim == 3 and factors.shape[1] == own:
        named["factors"] = _with_steps(factors, steps, NO_CATEGORY.get(factors.dtype.kind, 0))
    return named


def _with_steps(x: np.ndarray, steps: int, value: int | str | bytes) -> np.ndarray:
    return np.pad(x, [(0, 0), (0, steps - x.shape[1])] + [(0, 0)] * (x.ndim - 2), constant_values=value)


def padded_part(here: Callable[[str], str], named: Named, *, mask: bool) -> Named:
    """The arrays with x [N, T, ...], padding as zeros, and `length`, [N]; without it where all series have T steps.

    Lengths are `length`, [N], or end where only NaN follow; an x of [sum of lengths, D] is cut into series. mask: a
    number that is missing inside a series becomes the last one before it, and x has D more columns: 1 where it was
    measured, 0 where not. here: what an array is called in error messages. Raises UserError naming the first place of a
    missing number, and for lengths that do not fit.
    """
    x, length = named["x"], named.get("length")
    if length is not None:
        fits = length.dtype.kind in "iu" and length.ndim == 1 and length.size > 0
        require(fits, f"{here('length')} must be integers, [N], got {length.dtype} {list(length.shape)}")
        require(length.min() >= 1, f"{here('length')} must be at least 1, got {length.min()} in row {length.argmin()}")
        if x.ndim in (1, 2) and len(length) != len(x) and int(length.sum()) == len(x):
            x = cut(x if x.ndim == 2 else x[:, None], length)
        counts = f"{len(length)} series, nor {length.sum()} steps, the sum of {here('length')}"
        fits = x.ndim not in (1, 2) or len(length) == len(x)
        require(fits, f"{here('x')} has {len(x)} rows, which are neither {counts}")
        if len(length) != len(x) or x.ndim < 2:
            return named  # refused where the rows of all arrays, or the axes of x, are compared
        most = f"the {x.shape[1]} steps of x"
        longest = f"{length.max()} in row {length.argmax()}"
        require(length.max() <= x.shape[1], f"{here('length')} must be at most {most}, got {longest}")
    if x.ndim not in (2, 3) or x.size == 0 or x.dtype.kind != "f":  # no NaN can be in it
        require(not mask, f"missing=mask is for series of floats, and {here('x')} is {x.dtype} {list(x.shape)}")
        return named | {"x": x}
    if length is None and not mask and not any(np.isnan(part).any() for part in chunks(x)):
        return named  # unchanged, so that it may stay in its file
    values = x[..., None] if x.ndim == 2 else x
    missing = np.isnan(values)
    if length is None:
        length = lengths_of(missing)
        require(length.min() >= 1, f"{here('x')}: row {length.argmin()} has no step: all are NaN")
    inside = np.arange(values.shape[1]) < length[:, None]
    gaps = missing & inside[..., None]
    if gaps.any() and not mask:
        row, step, column = (int(index) for index in np.argwhere(gaps)[0])
        count = f"the first of {gaps.sum()} missing numbers" if gaps.sum() > 1 else "a missing number"
        fault = f"{here('x')}: row {row}, step {step}, column {column} is NaN, {count} inside series"
        require(False, f"{fault}; fill them, or give dataset.missing=mask")
    values = np.where(inside[..., None], forward_filled(values, gaps) if mask else values, 0)
    if mask:
        values = np.concatenate([values, inside[..., None] & ~missing], -1, dtype=values.dtype)
    named = named | {"x": values}
    if (length == values.shape[1]).all():
        return {name: array for name, array in named.items() if name != "length"}
    factors = named.get("factors")
    if factors is not None and factors.ndim == 3 and factors.dtype.kind == "f" and factors.shape[:2] == inside.shape:
        named["factors"] = np.where(inside[..., None], factors, 0)
    return named | {"length": length}


def cut(x: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Series one after the other, [sum of lengths, D], as rows padded with zeros, [N, longest, D]."""
    series = np.zeros((len(length), length.max(), x.shape[1]), x.dtype)
    series[np.arange(length.max()) < length[:, None]] = x
    return series


def lengths_of(missing: np.ndarray) -> np.ndarray:
    """The steps up to the last with any number, [N], of what is NaN, [N, T, D]."""
    known = ~missing.all(-1)
    return np.where(known.any(1), known.shape[1] - known[:, ::-1].argmax(1), 0)


def forward_filled(x: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Each gap as the last number before it in its series and column, else the first after it, else 0."""
    steps = np.arange(x.shape[1])[:, None]
    before = np.maximum.accumulate(np.where(gaps, -1, steps), 1)
    measured = ~np.isnan(x)
    first = np.where(measured.any(1, keepdims=True), measured.argmax(1)[:, None], 0)
    filled = np.take_along_axis(x, np.where(before < 0, first, before), 1)
    return np.nan_to_num(np.where(gaps, filled, x), posinf=np.inf, neginf=-np.inf)
