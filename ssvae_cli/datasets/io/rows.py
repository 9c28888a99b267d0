"""Samples of arrays, in memory or mapped from a file, that are read on demand."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssvae_cli.datasets.base import Shape
from ssvae_cli.errors import require

CHUNK_BYTES = 2**26  # of an array, checked at a time


@dataclass(frozen=True)
class Rows:
    """The rows of `arrays`, [N, ...] each, one array after another, converted to `dtype` as they are read."""

    arrays: Sequence[np.ndarray]
    dtype: np.dtype
    convert: Callable[[np.ndarray], np.ndarray] = np.asarray
    chosen: np.ndarray | None = None  # only these rows, in this order; None: all
    written: dict[str, tuple[int, ...]] | None = None  # when the mapped files were, by their names; None: find out

    def __post_init__(self):
        if self.written is None:
            files = {str(array.filename) for array in self.arrays if isinstance(array, np.memmap)}
            object.__setattr__(self, "written", {file: last_written(file) for file in files})

    def __len__(self) -> int:
        return sum(map(len, self.arrays)) if self.chosen is None else len(self.chosen)

    @property
    def shape(self) -> Shape:
        return tuple(self.arrays[0].shape[1:])

    def rows(self, rows: Sequence[int]) -> "Rows":
        return replace(self, chosen=self._index(rows))

    def read(self, rows: Sequence[int], out: np.ndarray) -> None:
        """Those rows into the first places of `out`. Raises UserError where a mapped file was written to since."""
        for file, before in self.written.items():
            now = last_written(file)  # of another file, which took its name, nothing is read
            fault = f"{file} was written to while this command reads it; keep it as it is until the end"
            require(now == before or now[:1] != before[:1], fault)
        rows, start = self._index(rows), 0
        for array in self.arrays:
            here = (rows >= start) & (rows < start + len(array))
            out[: len(rows)][here] = self.convert(array[rows[here] - start])
            start += len(array)

    def _index(self, rows: Sequence[int]) -> np.ndarray:
        """The places of these rows in `arrays`."""
        return np.asarray(rows) if self.chosen is None else self.chosen[rows]


def last_written(file: str) -> tuple[int, ...]:
    """(Which file has this name, when it was last written to, its size); () where none has: what is mapped stays."""
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    """[N, ...] in pieces of rows, small enough that a file of any size can be checked."""
    size = max(1, CHUNK_BYTES // max(1, x[:1].nbytes))
    return (x[start : start + size] for start in range(0, len(x), size))
