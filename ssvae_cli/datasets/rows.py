"""Samples of arrays that are read as they are needed: in memory, or mapped from a file."""

import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssvae_cli.datasets.base import Shape

CHUNK_BYTES = 2**26  # of an array, looked at together
LOCAL_HEADER = 30  # bytes, of a member of a zip file, before its name
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


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


@dataclass(frozen=True)
class Member:
    """An array of an .npz file, known from its header. offset: where its numbers start, None where compressed."""

    shape: Shape
    fortran: bool
    dtype: np.dtype
    offset: int | None

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def map(self, file: Path) -> np.ndarray:
        """The array, left on disk."""
        return np.memmap(file, self.dtype, "r", self.offset, self.shape, "F" if self.fortran else "C")


def member(archive: zipfile.ZipFile, name: str) -> Member:
    """What the header of a member of an .npz file says. Raises ValueError where it is none."""
    info = archive.getinfo(name)
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"{name} is of version {version}")
        (shape, fortran, dtype), long = HEADERS[version](stream), stream.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} needs pickle")
    with open(archive.filename, "rb") as file:  # the name and the extra field may be longer there than in the directory
        file.seek(info.header_offset)
        name_long, extra = struct.unpack("<26x2H", file.read(LOCAL_HEADER))
    start = info.header_offset + LOCAL_HEADER + name_long + extra + long
    found = Member(shape, fortran, dtype, start if info.compress_type == zipfile.ZIP_STORED else None)
    if long + found.bytes != info.file_size:
        raise ValueError(f"{name} is not as long as it says")
    return found
