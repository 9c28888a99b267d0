"""An .npz file: its arrays read, or mapped where they are too large; nothing in it is unpickled."""

import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssvae_cli.datasets.base import Shape
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.errors import UserError, require

LOCAL_HEADER = 30  # bytes, of a member of a zip file, before its name
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextmanager
def opened(path: str, setting: str) -> Iterator[np.lib.npyio.NpzFile]:
    """An .npz file; what is wrong with it is a UserError. setting: what named the file."""
    file = Path(path).expanduser()
    require(file.is_file(), f"{setting}={path}: no such file")
    try:
        loaded = np.load(file, allow_pickle=False)
        require(isinstance(loaded, np.lib.npyio.NpzFile), f"{setting}={path}: one array, not an .npz of named arrays")
        with loaded:
            yield loaded
    except MemoryError as error:
        raise UserError(f"{setting}={path}: its arrays take more memory than there is ({error})") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = "it holds Python objects, or is no .npz" if "pickle" in str(error) else str(error).splitlines()[0]
        raise UserError(f"{setting}={path}: cannot be read as an .npz of plain arrays ({reason})") from error


def load(path: str, samples: Sequence[str], storage: Storage) -> dict[str, np.ndarray]:
    """The arrays of a file; where those of `samples` exceed the storage, they are mapped and not read."""
    with opened(path, "path") as loaded:
        members = {key: _member(loaded.zip, f"{key}.npy") for key in loaded.files if key in samples}
        if sum(member.bytes for member in members.values()) <= storage.memory_gb * 2**30:
            return {key: loaded[key] for key in loaded.files}
        for key, member in members.items():
            require(
                member.offset is not None,
                f"{path}: its samples exceed memory_gb={storage.memory_gb:g}, and {key} is compressed, which cannot be "
                "streamed; save it by numpy.savez, or raise memory_gb",
            )
        file = Path(path).expanduser()
        return {key: members[key].map(file) if key in members else loaded[key] for key in loaded.files}


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


def _member(archive: zipfile.ZipFile, name: str) -> Member:
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
