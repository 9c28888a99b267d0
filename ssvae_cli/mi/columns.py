"""What the columns of a sample are: constant, tied or continuous; as normal scores, and as classes."""

import hashlib
import math

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

WIDE = 256  # columns of indicators, above which one column of codes is read in their place
FEW_COPIES = 8  # of a row; a row that occurs more often, and in 1% of all, is an atom
PAIRS_PER_CLASS = 8  # on average; a side with fewer is no set of classes


def constant(values: np.ndarray) -> np.ndarray:
    """The numbers of the columns, [N, d], that have one value."""
    return np.flatnonzero(np.ptp(values, axis=0) == 0)


def varying(values: np.ndarray) -> np.ndarray:
    """The columns of [N, d] that have more than one value."""
    return np.delete(values, constant(values), 1)


def tied(column: np.ndarray) -> float:
    """The share of the rows, [N], whose value occurs more than once: 0 for a continuous column, 1 for codes."""
    _, counts = np.unique(column, return_counts=True)
    return float(counts[counts > 1].sum() / len(column))


def continuous(values: np.ndarray) -> np.ndarray:
    """Which columns of [N, d] have values of which most occur once, [d]."""
    return np.array([tied(column) < 0.5 for column in values.T])


def on_a_grid(column: np.ndarray, places: int) -> bool:
    """Whether values, [N], repeat as those of evenly spaced places do: codes and counts, of fewer than so many places,
    or rounded numbers, which fall on a place twice about half as often as on two next to each other."""
    distinct, counts = np.unique(column, return_counts=True)
    steps = np.diff(distinct)
    if not len(steps):
        return True
    steps = steps / steps.min()
    if np.abs(steps - steps.round()).max() > 1e-6:
        return False
    same = (counts * (counts - 1)).sum()  # twice the pairs of rows on one place
    adjacent = (counts[1:] * counts[:-1])[steps < 1.5].sum()
    return bool(steps.sum() < places or same < 1.5 * adjacent)


def copied(*sides: np.ndarray) -> np.ndarray:
    """The rows, over all sides [N, d], that repeat an earlier row although a value of them is continuous.

    Continuous values do not repeat by chance: such rows were copied, or drawn with replacement, and tell nothing new.
    Codes repeat, but then the rows have more combinations than any column has values, or no column is continuous, as
    where the code of y is a function of that of x; atoms repeat often, or, with a code, in several combinations: a
    value that was copied is in one alone.
    """
    both = np.hstack(sides)
    rows, first, which, counts = np.unique(both, axis=0, return_index=True, return_inverse=True, return_counts=True)
    rare = counts <= max(FEW_COPIES, len(both) / 100)
    free = np.flatnonzero([not on_a_grid(column, len(both)) for column in both[rare[which.ravel()]].T])
    most = max((len(np.unique(column)) for column in rows[rare][:, free].T), default=0)
    if rare.sum() > 1.05 * most or rare.sum() < len(both) / PAIRS_PER_CLASS:
        return np.array([], dtype=int)
    was_copied = rare & np.any([in_one_place(column) for column in rows[:, free].T], axis=0)
    repeats = np.setdiff1d(np.arange(len(both)), first)
    return repeats[was_copied[which.ravel()[repeats]]]


def in_one_place(column: np.ndarray) -> np.ndarray:
    """Whether each value of [N] occurs once, [N]."""
    _, which, counts = np.unique(column, return_inverse=True, return_counts=True)
    return counts[which] == 1


def normal_by_ranks(column: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A column, [N], mapped to N(0, 1) by its ranks; equal values get different scores, in random order.

    A strictly increasing map, so I does not change. An atom is spread over the interval that its probability leaves it
    (the distributional transform): the place in the interval is noise that depends on nothing, and the value can be
    read from the score, so I does not change either, and all columns become continuous. Source: Rueschendorf 2009.
    """
    order = np.lexsort((rng.random(len(column)), column))
    uniform = np.empty(len(column))
    uniform[order] = (np.arange(len(column)) + 0.5) / len(column)
    return ndtri(uniform)


def orders(values: np.ndarray) -> list[bytes]:
    """A digest of the order in which each column of [N, d] has the rows, rising or falling: the same for columns of
    which one is an increasing or decreasing function of the other."""
    digest = lambda rank: hashlib.blake2b(np.ascontiguousarray(rank)).digest()
    ranks = (np.unique(column, return_inverse=True)[1].ravel() for column in values.T)
    return [min(digest(rank), digest(rank.max() - rank)) for rank in ranks]


def standardised(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1, of any scale."""
    scaled = values / np.abs(values).max(0)  # whose squares are neither 0 nor infinite
    return (scaled - scaled.mean(0)) / scaled.std(0)


def scores(values: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Every column of [N, d] as normal scores, float64: by its ranks, or only standardised if it looks normal.

    Ranks add noise to a normal column, which matters where I is large. The test is Lilliefors', at about 0.1%, as a
    single normal column that fails it spoils many others."""
    columns = []
    for column in values.T:
        ranked, standard = normal_by_ranks(column, rng), standardised(column)
        normal = np.abs(ndtr(standard) - ndtr(ranked)).max() * math.sqrt(len(column)) < 1.2
        columns.append(standard if normal and tied(column) < 0.01 else ranked)
    return torch.from_numpy(np.stack(columns, 1))


def codes_of_indicators(values: np.ndarray) -> np.ndarray:
    """The one column of codes, [N, 1], that more than 256 columns of indicators spell, [N, d]: each of two values, the
    higher in one of a row's columns or, as without a column for the first class, in none. Any other side unchanged.

    No two rows that differ get one code, so I does not change; as columns, each would be noise but for a few rows."""
    if values.shape[1] <= WIDE:
        return values
    high = values == values.max(0)
    is_indicator = ((values == values.min(0)) | high).all() and (high.sum(1) <= 1).all()
    return (high.any(1) * (1.0 + high.argmax(1)))[:, None] if is_indicator else values


def classes(values: np.ndarray) -> Tensor | None:
    """The class of each row, [N], a class for each distinct row of [N, d]; None if they are too many to count, or if
    most occur once, as where few rows of a continuous column are not zero."""
    _, codes, counts = np.unique(values, axis=0, return_inverse=True, return_counts=True)
    few = len(counts) <= len(values) / PAIRS_PER_CLASS and (counts == 1).mean() <= 0.5
    return torch.from_numpy(codes.ravel()) if few else None


def follow_each_other(side: Tensor) -> bool:
    """Whether rows are like their neighbours in the file, as in a time series or a sorted table, [N, d]."""
    features = torch.cat([side, side.abs()], 1)
    features = (features - features.mean(0)) / features.std(0).clamp_min(1e-12)
    lag_one = (features[1:] * features[:-1]).mean(0).abs().max().item()
    return lag_one > 0.05 + 4 / math.sqrt(len(side))


def differ_between(side: Tensor, groups: Tensor) -> bool:
    """Whether rows, [N, d], differ more from group to group, [N], than within one, as those of a series that drifts, or
    that changes more slowly than the groups are long."""
    scores = (side - side.mean(0)) / side.std(0).clamp_min(1e-12)
    sums = torch.zeros(int(groups.max()) + 1, side.shape[1], dtype=side.dtype).index_add(0, groups, scores)
    between = (sums.square() / groups.bincount()[:, None]).sum(0) / len(side)
    return between.max().item() > 0.5
