"""The headers of the arrays in an .npz file."""

import zipfile
from typing import IO

import numpy as np

from ssvae_cli.paths import expanded

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def header_of(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, whether its axes are in Fortran's order, type) of an array; the stream is then at its data."""
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"{name} is of version {version}")
    return HEADERS[version](stream)


def ranks(path: str) -> dict[str, int]:
    """The number of axes of every array, by the file's headers; {} for what is no .npz file."""
    try:
        with zipfile.ZipFile(expanded(path, "path")) as archive:
            return {
                name.removesuffix(".npy"): len(header_of(archive.open(name), name)[0]) for name in archive.namelist()
            }
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile):
        return {}
