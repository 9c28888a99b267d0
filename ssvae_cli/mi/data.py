"""Pairs from a user's file, checked, and made into a problem."""

import logging
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.io.arrays import require_channels_first
from ssvae_cli.datasets.io.npz_file import opened
from ssvae_cli.errors import agreeing, allowed, counted, require
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.columns import (
    classes,
    codes_of_indicators,
    constant,
    continuous,
    copied,
    orders,
    scores,
    standardised,
)
from ssvae_cli.mi.components import components
from ssvae_cli.mi.problem import Problem
from ssvae_cli.mi.splits import Split
from ssvae_cli.mi.tasks import Sample

log = logging.getLogger(__name__)

FEWEST = 10
PLACES = 12  # values of a column, at least, whose order says that it is a function of another
EXACT = 2**53  # integers up to which float64 holds each


def read_npz(path: str) -> Sample:
    """The arrays x and y, and z if there is one, of an .npz file, each [N], [N, d] or images [N, C, H, W].

    Raises UserError; nothing is unpickled."""
    here = f"data={path}"
    with opened(path, "data", "give arrays of numbers") as file:
        arrays = dict(file)
    for key in arrays:
        require(key in ("x", "y", "z"), f"{here}: unknown array '{key}'; {allowed(key, ('x', 'y', 'z'))}")
    require({"x", "y"} <= arrays.keys(), f"{here}: it must hold x and y, got {', '.join(arrays) or 'nothing'}")
    tables = {key: _table(f"{here}: {key}", values) for key, values in arrays.items()}
    lengths = {key: len(values) for key, values in tables.items()}
    equal = len(set(lengths.values())) == 1
    names, numbers = (" and ".join(map(str, side)) for side in (lengths, lengths.values()))
    require(equal, f"{here}: {names} must be of equal length, got {numbers} rows")
    return Sample(tables["x"], tables["y"], None, tables.get("z"))


def _table(here: str, values: np.ndarray) -> np.ndarray:
    """Float64, finite, [N, d] or [N, C, H, W]."""
    require(values.dtype.kind in "fiub", f"{here} must hold numbers, got {values.dtype}; labels and dates: as integers")
    require(values.ndim in (1, 2, 4), f"{here} must be [N], [N, d] or [N, C, H, W], got {list(values.shape)}")
    if values.ndim == 4:
        require_channels_first(here, values)
    values = values[:, None] if values.ndim == 1 else values
    require(values[:1].size > 0 or len(values) == 0, f"{here} has no columns, {list(values.shape)}")
    require(len(values) >= FEWEST, f"{here} must have at least {FEWEST} rows, got {len(values)}")
    values = _differences(values) if values.dtype.kind in "iu" else values.astype(np.float64)
    invalid = ~np.isfinite(values.reshape(len(values), -1))
    first = invalid.any(1).argmax()
    bad = int(invalid.sum())
    those = f"{counted(bad, 'value')} that {agreeing(bad, 'is', 'are')} NaN or infinite"
    require(bad == 0, f"{here} has {those}{', the first' * (bad > 1)} in row {first}")
    require(np.ptp(values, axis=0).any(), f"{here} is constant: it carries nothing")
    return values


def _differences(values: np.ndarray) -> np.ndarray:
    """Integers as float64; of those that it would round, such as times in nanoseconds, their differences from the
    smallest of their column, which leave I as it is."""
    low = values.min(0)
    if max(abs(int(low.min())), abs(int(values.max()))) <= EXACT:
        return values.astype(np.float64)
    return (values - low).view(f"u{values.dtype.itemsize}").astype(np.float64)


def without_copies(sample: Sample, level: int = logging.WARNING) -> Sample:
    """The sample without rows that repeat earlier ones; the log says at this level how many."""
    sides = [side for side in (sample.x, sample.y, sample.z) if side is not None]
    copies = copied(*(side.reshape(len(side), -1) for side in sides))
    if not len(copies):
        return sample
    counts = (len(copies), len(sample.x))
    log.log(level, "%d of %d rows repeat an earlier row, and are left out: copies are no evidence", *counts)
    require(len(sample.x) - len(copies) >= FEWEST, f"fewer than {FEWEST} rows are distinct")
    kept = np.setdiff1d(np.arange(len(sample.x)), copies)
    return sample._replace(**{key: None if (side := getattr(sample, key)) is None else side[kept] for key in "xyz"})


def tables_of(sample: Sample) -> tuple[np.ndarray, ...]:
    """x, y and, if there is one, z, [N, d] each, as `informative` leaves them, without the columns of x and of y that z
    holds as well.

    Raises UserError where z holds all of a side, so that I(x; y | z) is 0."""
    if sample.z is None:
        return informative(sample.x, "x"), informative(sample.y, "y")
    z = informative(sample.z, "z")
    of_z, sides = {*orders(z)}, []
    for name in "xy":
        side = informative(getattr(sample, name), name)
        kept = [number for number, order in enumerate(orders(side)) if order not in of_z]
        require(kept, f"z holds every column of {name}, or a function of it: I(x; y | z) is 0")
        if copies := side.shape[1] - len(kept):
            log.warning("%s: %d of %d columns are z's as well: left out", name, copies, side.shape[1])
        sides.append(side[:, kept])
    return *sides, z


def informative(values: np.ndarray, name: str) -> np.ndarray:
    """The columns, [N, d] of what may be images, that are not constant and order the rows as none before them does, or
    the one column of codes that they spell; a warning says which are left out."""
    table = values.reshape(len(values), -1)
    same = constant(table)
    first: dict[bytes, int] = {}
    copies = [number for number, order in enumerate(orders(table)) if first.setdefault(order, number) != number]
    copies = np.setdiff1d(copies, same).astype(int)
    for numbers, why in ((same, "is constant and carries nothing"), (copies, "orders the rows as one before it does")):
        if len(numbers):
            shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
            log.warning("%s: column %s of %d %s: left out", name, shown, table.shape[1], why)
    kept = np.delete(table, [*same, *copies], 1)
    codes = codes_of_indicators(kept)
    if codes is not kept:
        log.info("%s: %d columns of indicators are read as one column of codes", name, kept.shape[1])
    return codes


def pose(x: np.ndarray, y: np.ndarray, split: Split, seed: int) -> Problem:
    """The problem of two tables, [N, d] each, without constant columns."""
    rng = np.random.default_rng(seed)
    pairs = Pairs(*(scores(side, rng) for side in (x, y)))
    known = {"infinite": share_a_coordinate(x, y), "ordered": share_an_order(x, y, pairs)}
    return Problem(pairs, (classes(x), classes(y)), components(pairs), split, seed, **known)


def shuffled(problem: Problem, most: int) -> Problem:
    """At most `most` of the pairs with y of others, where I is 0."""
    generator = problem.generator()
    apart = problem.rows(*(torch.randperm(len(problem), generator=generator)[:most] for _ in "xy"))
    split = problem.split.of_shuffled()
    return replace(apart, components=components(apart.pairs), split=split, infinite=False, ordered=False)


def pixels(values: np.ndarray) -> Tensor | None:
    """Images, [N, C, H, W], as rows, standardised all together; None for a table."""
    return torch.from_numpy(standardised(values.reshape(-1, 1)).reshape(len(values), -1)) if values.ndim == 4 else None


def share_a_coordinate(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether a continuous column of x, alone or in a sum with others of x, equals one of y, so that I is infinite.

    That is, whether their largest canonical correlation is 1 up to the rounding of float32, and so are most rows of
    these two sums: a single outlier that both sides have gives a correlation of 1 as well."""
    sides = [side[:, continuous(side)] for side in (x, y)]
    if not all(side.size for side in sides) or len(x) < sum(side.shape[1] for side in sides) + 2:
        return False  # with so few pairs the correlation is always 1
    parts = (torch.linalg.svd(torch.from_numpy(standardised(side)), full_matrices=False) for side in sides)
    left, right = (part.U[:, part.S > 1e-6 * part.S[0]] for part in parts)
    of_left, correlations, of_right = torch.linalg.svd(left.T @ right)
    sums = left @ of_left[:, 0], right @ of_right[0]
    one, other = (side - side.median() for side in sums)
    return correlations[0].item() > 1 - 1e-12 and bool((one - other).abs().median() < 1e-5 * one.abs().median())


def share_an_order(x: np.ndarray, y: np.ndarray, pairs: Pairs) -> bool:
    """Whether a column of x and one of y have no two rows in opposite orders, as where one is an increasing or
    decreasing function of the other, or the other rounded. pairs: their normal scores, which are then correlated."""
    related = (pairs.x.T @ pairs.y / len(x)).numpy()
    columns = np.argwhere(np.abs(related) > 0.5)
    return any(agree(x[:, i], y[:, j] * np.sign(related[i, j])) for i, j in columns)


def agree(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether no row, of [N] each, lies above another in one column and below it in the other; both columns have more
    values than do so by chance."""
    if min(len(np.unique(one)), len(np.unique(other))) < PLACES:
        return False
    return bool((np.diff(other[np.lexsort((other, one))]) >= 0).all())
