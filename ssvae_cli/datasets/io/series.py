"""Series of unequal length: where each ends, and numbers that are missing inside it."""

import numpy as np

from ssvae_cli.datasets.io.rows import chunks
from ssvae_cli.errors import require

Named = dict[str, np.ndarray]  # the arrays of one part of a file: x, and perhaps length, factors


def padded(path: str, part: str, named: Named, *, mask: bool) -> Named:
    """The arrays with x [N, T, ...], padding as zeros, and `length`, [N]; without it where all series have T steps.

    Lengths are `length`, [N], or end where only NaN follow; an x of [sum of lengths, D] is cut into series. mask: a
    number that is missing inside a series becomes the last one before it, and x has D more columns: 1 where it was
    measured, 0 where not. path, part: of the file, for error messages. Raises UserError naming the first place of a
    missing number, and for lengths that do not fit.
    """
    here = lambda name: f"{path}: {name}{part}"
    x, length = named["x"], named.get("length")
    if length is not None:
        fits = length.dtype.kind in "iu" and length.ndim == 1 and length.size > 0
        require(fits, f"{here('length')} must be integers, [N], got {length.dtype} {list(length.shape)}")
        require(length.min() >= 1, f"{here('length')} must be at least 1, got {length.min()} in row {length.argmin()}")
        if x.ndim in (1, 2) and len(length) != len(x) and int(length.sum()) == len(x):
            x = cut(x if x.ndim == 2 else x[:, None], length)
        if len(length) != len(x) or x.ndim < 2:
            return named  # refused where the rows of all arrays, or the axes of x, are compared
        most = f"the {x.shape[1]} steps of x"
        longest = f"{length.max()} in row {length.argmax()}"
        require(length.max() <= x.shape[1], f"{here('length')} must be at most {most}, got {longest}")
    if x.ndim not in (2, 3) or x.size == 0 or x.dtype.kind != "f":
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
