"""An .npz file: its arrays read, or memory-mapped if they are too large; nothing in it is unpickled."""

import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np

from ssvae_cli.datasets.io.npz_headers import header_of
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.errors import UserError, first_line, require
from ssvae_cli.paths import existing_file

AS_ARRAYS = "give words as y.astype(str), and a list of series as one x of all steps, with length [N]"
LOCAL_HEADER = 30  # bytes, of a member of a zip file, before its name


@contextmanager
def opened(path: str, setting: str, objects: str = AS_ARRAYS) -> Iterator[np.lib.npyio.NpzFile]:
    """An .npz file; a fault in it is a UserError. setting: the key that named the file; objects: what to give in the
    place of Python objects."""
    file = existing_file(path, setting)
    require(is_numpys(file), f"{setting}={path}: no .npz file, as numpy.savez writes them")
    try:
        loaded = np.load(file, allow_pickle=False)
        require(isinstance(loaded, np.lib.npyio.NpzFile), f"{setting}={path}: one array, not an .npz of named arrays")
        with loaded:
            yield loaded
    except MemoryError as error:
        raise UserError(f"{setting}={path}: its arrays take more memory than there is ({error})") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = f"it holds Python objects; {objects}" if "pickle" in str(error) else first_line(error)
        raise UserError(f"{setting}={path}: cannot be read as an .npz of plain arrays ({reason})") from error


def is_numpys(file: Path) -> bool:
    """Whether a file begins as a zip file, or as a single array. One that cannot be read is left to the reader."""
    with suppress(OSError), open(file, "rb") as stream:
        return stream.read(4) in (b"PK\3\4", b"PK\5\6", b"\x93NUM")
    return True


def load(path: str, samples: Sequence[str], storage: Storage) -> dict[str, np.ndarray]:
    """The arrays of a file; those of `samples` are memory-mapped if together they exceed the storage."""
    with opened(path, "path") as loaded:
        members = {key: _member(loaded.zip, f"{key}.npy") for key in loaded.files if key in samples}
        if sum(size for size, _ in members.values()) <= storage.memory_gb * 2**30:
            return {key: loaded[key] for key in loaded.files}
        for key, (_, memory_map) in members.items():
            fault = f"its samples exceed memory_gb={storage.memory_gb:g}, and {key} is compressed, so it cannot stream"
            require(memory_map is not None, f"{path}: {fault}; save it by numpy.savez, or raise memory_gb")
        return {key: members[key][1]() if key in members else loaded[key] for key in loaded.files}


def _member(archive: zipfile.ZipFile, name: str) -> tuple[int, Callable[[], np.ndarray] | None]:
    """By an array's header, (its bytes, a function that memory-maps it or None if compressed). Raises ValueError."""
    info = archive.getinfo(name)
    with archive.open(info) as stream:
        (shape, fortran, dtype), header = header_of(stream, name), stream.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} needs pickle")
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if header + size != info.file_size:
        raise ValueError(f"{name} is not as long as its header says")
    if info.compress_type != zipfile.ZIP_STORED:
        return size, None
    with open(archive.filename, "rb") as file:  # name and extra field may be longer here than in the zip's directory
        file.seek(info.header_offset)
        name_length, extra = struct.unpack("<26x2H", file.read(LOCAL_HEADER))
    start = info.header_offset + LOCAL_HEADER + name_length + extra + header
    return size, partial(np.memmap, archive.filename, dtype, "r", start, shape, "F" if fortran else "C")
