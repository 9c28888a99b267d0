"""Samples of arrays, in memory or mapped from a file, that are read on demand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssvae_cli.datasets.base import Shape

CHUNK_BYTES = 2**26  # of an array, checked at a time


@dataclass(frozen=True)
class Rows:
    """The rows of `arrays`, [N, ...] each, one array after another, converted to `dtype` as they are read."""

    arrays: Sequence[np.ndarray]
    dtype: np.dtype
    convert: Callable[[np.ndarray], np.ndarray] = np.asarray
    chosen: np.ndarray | None = None  # only these rows, in this order; None: all

    def __len__(self) -> int:
        return sum(map(len, self.arrays)) if self.chosen is None else len(self.chosen)

    @property
    def shape(self) -> Shape:
        return tuple(self.arrays[0].shape[1:])

    def rows(self, rows: Sequence[int]) -> "Rows":
        return replace(self, chosen=self._index(rows))

    def read(self, rows: Sequence[int], out: np.ndarray) -> None:
        """Those rows into the first places of `out`."""
        rows, start = self._index(rows), 0
        for array in self.arrays:
            here = (rows >= start) & (rows < start + len(array))
            out[: len(rows)][here] = self.convert(array[rows[here] - start])
            start += len(array)

    def _index(self, rows: Sequence[int]) -> np.ndarray:
        """The places of these rows in `arrays`."""
        return np.asarray(rows) if self.chosen is None else self.chosen[rows]


def chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    """[N, ...] in pieces of rows, small enough that a file of any size can be checked."""
    size = max(1, CHUNK_BYTES // max(1, x[:1].nbytes))
    return (x[start : start + size] for start in range(0, len(x), size))
