"""Pairs from a user's file, checked; split into three parts; every coordinate as normal scores."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.datasets.io.npz_file import opened
from ssvae_cli.errors import allowed, require, require_at_least
from ssvae_cli.evaluation.samples import Pairs, Parts, normal_scores
from ssvae_cli.mi.tasks import Sample


class Cut(NamedTuple):
    """All pairs, and their three parts."""

    whole: Pairs
    parts: Parts


def read_npz(path: str) -> Sample:
    """The arrays x [N, dx] and y [N, dy] (or [N]) of an .npz file. Raises UserError; nothing is unpickled."""
    here = f"data={path}"
    with opened(path, "data") as file:
        arrays = dict(file)
    for key in arrays:
        require(key in ("x", "y"), f"{here}: unknown array '{key}'; {allowed(key, ('x', 'y'))}")
    require(len(arrays) == 2, f"{here}: it must hold x and y, got {', '.join(arrays) or 'nothing'}")
    x, y = (_table(f"{here}: {key}", arrays[key]) for key in "xy")
    require(len(x) == len(y), f"{here}: x and y must be of equal length, got {len(x)} and {len(y)} rows")
    return Sample(x, y, None)


def _table(here: str, values: np.ndarray) -> np.ndarray:
    """[N, d], float64, finite, without constant columns."""
    require(values.dtype.kind in "fiub", f"{here} must hold numbers, got {values.dtype}")
    require(values.ndim in (1, 2), f"{here} must be [N, d] or [N], got {list(values.shape)}")
    values = values.reshape(len(values), -1).astype(np.float64)
    require(values.shape[1] > 0, f"{here} has no columns, {list(values.shape)}")
    require(len(values) >= 10, f"{here} must have at least 10 rows, got {len(values)}")
    invalid = ~np.isfinite(values)
    first = invalid.any(1).argmax()
    require(not invalid.any(), f"{here} has {invalid.sum()} values that are NaN or infinite, the first in row {first}")
    constant = np.flatnonzero(np.ptp(values, axis=0) == 0)
    require(len(constant) == 0, f"{here}: column {', '.join(map(str, constant[:5]))} is constant; leave it out")
    return values


class Split:
    """The pairs for training, for choosing the training step and for the final estimate.

    validation, test: fractions of all pairs; at_most: pairs in each, as a table of scores grows with their square."""

    def __init__(self, *, validation: float, test: float, at_most: int):
        for name, fraction in (("validation", validation), ("test", test)):
            require(0 < fraction < 0.5, f"{name} must lie between 0 and 0.5, got {fraction}")
        require_at_least(3, at_most=at_most)
        self.validation, self.test, self.at_most = validation, test, at_most

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Random row numbers of (train, validation, test)."""
        sizes = [min(max(3, int(share * count)), self.at_most) for share in (self.validation, self.test)]
        validation, test, train = torch.randperm(count, generator=generator).split([*sizes, count - sum(sizes)])
        return train, validation, test


def cut(sample: Sample, split: Split, seed: int) -> Cut:
    """The sample's normal scores, split into three; the split depends on `seed` and on the number of rows only."""
    rows = split(len(sample.x), torch.Generator().manual_seed(seed))
    whole = Pairs(*(normal_scores(side, rows[0].numpy()) for side in (sample.x, sample.y)))
    return Cut(whole, Parts(*map(whole.rows, rows)))


def of_one_width(parts: Parts) -> Parts:
    """x and y padded with zeros to the same width; zeros do not change the output of a critic's first layer."""
    widest = max(parts.train.x.shape[1], parts.train.y.shape[1])
    return Parts(*(Pairs(*(F.pad(side, (0, widest - side.shape[1])) for side in pairs)) for pairs in parts))
