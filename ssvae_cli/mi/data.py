"""Pairs from a user's file, checked; cut in three; every coordinate made normal."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from ssvae_cli.errors import UserError, nearest, require
from ssvae_cli.tasks import Sample

FEWEST = 10


class Pairs(NamedTuple):
    """x: [N, dx], y: [N, dy], float32; row i of the one belongs to row i of the other."""

    x: Tensor
    y: Tensor

    def rows(self, which) -> "Pairs":
        return Pairs(self.x[which], self.y[which])


class Parts(NamedTuple):
    """The pairs as the estimators meet them: all of them, and the three parts they were cut into."""

    whole: Pairs
    train: Pairs
    validation: Pairs
    test: Pairs


def read_npz(path: str) -> Sample:
    """The arrays x [N, dx] and y [N, dy] (or [N]) of an .npz file. Raises UserError; nothing is unpickled."""
    file = Path(path).expanduser()
    require(file.is_file(), f"data={path}: no such file")
    try:
        loaded = np.load(file, allow_pickle=False)
        require(isinstance(loaded, np.lib.npyio.NpzFile), f"data={path}: one array, not an .npz of arrays x and y")
        with loaded:
            arrays = {key: loaded[key] for key in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = "it holds Python objects, or is no .npz" if "pickle" in str(error) else str(error).splitlines()[0]
        raise UserError(f"data={path}: cannot be read as an .npz of plain arrays ({reason})") from error
    for key in arrays:
        require(key in ("x", "y"), f"data={path}: unknown array '{key}'; {nearest(key, ('x', 'y'))}")
    require(len(arrays) == 2, f"data={path}: it must hold x and y, got {', '.join(arrays) or 'nothing'}")
    x, y = (_table(f"data={path}: {key}", arrays[key]) for key in "xy")
    require(len(x) == len(y), f"data={path}: x and y must be of equal length, got {len(x)} and {len(y)} rows")
    return Sample(x, y, None)


def _table(here: str, values: np.ndarray) -> np.ndarray:
    """[N, d], float64, of numbers that vary."""
    require(values.dtype.kind in "fiub", f"{here} must hold numbers, got {values.dtype}")
    require(values.ndim in (1, 2), f"{here} must be [N, d] or [N], got {list(values.shape)}")
    values = values.reshape(len(values), -1).astype(np.float64)
    require(values.shape[1] > 0, f"{here} has no columns, {list(values.shape)}")
    require(len(values) >= FEWEST, f"{here} must have at least {FEWEST} rows, got {len(values)}")
    odd = ~np.isfinite(values)
    require(
        not odd.any(), f"{here} has {odd.sum()} values that are NaN or infinite, the first in row {odd.any(1).argmax()}"
    )
    constant = np.flatnonzero(np.ptp(values, axis=0) == 0)
    require(len(constant) == 0, f"{here}: column {', '.join(map(str, constant[:5]))} is constant; leave it out")
    return values


class Split:
    """Which pairs train, which choose the training step, which are read at the end.

    validation, test: fractions of all pairs; at_most: pairs in either, as a table of scores grows with their square.
    """

    def __init__(self, *, validation: float, test: float, at_most: int):
        for name, fraction in (("validation", validation), ("test", test)):
            require(0 < fraction < 0.5, f"split.{name} must lie between 0 and 0.5, got {fraction}")
        require(at_most >= 3, f"split.at_most must be at least 3, got {at_most}")
        self.validation, self.test, self.at_most = validation, test, at_most

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Row numbers of (train, validation, test), drawn."""
        validation, test = (min(max(3, int(f * count)), self.at_most) for f in (self.validation, self.test))
        held, tested, train = torch.randperm(count, generator=generator).split(
            [validation, test, count - validation - test]
        )
        return train, held, tested


def cut(sample: Sample, split: Split, seed: int) -> Parts:
    """The sample's normal scores, cut in three; which rows go where depends on `seed` and on how many there are."""
    rows = split(len(sample.x), torch.Generator().manual_seed(seed))
    whole = Pairs(*(normal_scores(side, rows[0].numpy()) for side in (sample.x, sample.y)))
    return Parts(whole, *map(whole.rows, rows))


def normal_scores(values: np.ndarray, train: np.ndarray) -> Tensor:
    """Every column through its own distribution function, as the rows `train` show it, to N(0, 1); float32.

    A strictly increasing map of one coordinate leaves I where it is, so that cubes or heavy tails cost nothing. Between
    the training values it is linear, beyond them constant; equal values share one score.
    """
    columns = []
    for column, known in zip(values.T, values[train].T):
        places, counts = np.unique(known, return_counts=True)
        ranks = np.cumsum(counts) - 0.5 * counts  # mid-ranks
        columns.append(np.interp(column, places, ndtri(ranks / len(known))))
    return torch.from_numpy(np.stack(columns, 1)).float()
