"""Samples of arrays, in memory or mapped from a file, that are read as they are needed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssvae_cli.datasets.base import Shape

CHUNK_BYTES = 2**26  # of an array, looked at together


def as_they_are(x: np.ndarray) -> np.ndarray:
    return x


@dataclass(frozen=True)
class Rows:
    """The rows of `arrays`, one array after another, [N, ...] each, converted to `dtype` when they are read.

    chosen: only these, in this order; None: all.
    """

    arrays: Sequence[np.ndarray]
    dtype: np.dtype
    convert: Callable[[np.ndarray], np.ndarray] = as_they_are
    chosen: np.ndarray | None = None

    def __len__(self) -> int:
        return sum(map(len, self.arrays)) if self.chosen is None else len(self.chosen)

    @property
    def shape(self) -> Shape:
        return tuple(self.arrays[0].shape[1:])

    def rows(self, rows: Sequence[int]) -> "Rows":
        rows = np.asarray(rows)
        return replace(self, chosen=rows if self.chosen is None else self.chosen[rows])

    def read(self, rows: Sequence[int], out: np.ndarray) -> None:
        """Those rows into the first places of `out`."""
        rows, start = np.asarray(rows) if self.chosen is None else self.chosen[rows], 0
        for array in self.arrays:
            here = (rows >= start) & (rows < start + len(array))
            out[: len(rows)][here] = self.convert(array[rows[here] - start])
            start += len(array)


def chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    """[N, ...] in pieces of so many rows that a file of any size can be looked at."""
    size = max(1, CHUNK_BYTES // max(1, x[:1].nbytes))
    return (x[start : start + size] for start in range(0, len(x), size))
