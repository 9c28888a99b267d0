"""Files that are never half written, and tensors that are read without running code."""

import contextlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from ssvae_cli.errors import UserError


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write(temporary path)` make the file, then rename it to `path`, which is never half written.

    Raises UserError where the disk is full or not writable; the earlier file is then untouched."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # the new name, too, survives a power cut
        os.close(folder)
    except OSError as error:
        earlier = "; the earlier file is intact" if path.exists() else ""
        raise UserError(f"{path} cannot be written ({error.strerror}){earlier}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Text as UTF-8, written atomically; letters that it lacks, as names of files may hold, as a question mark."""
    atomic_write(path, lambda at: at.write_text(text, encoding="utf-8", errors="replace"))


def write_json(path: Path, values: dict) -> None:
    """`values` as indented JSON, written atomically."""
    atomic_write(path, lambda at: at.write_text(json.dumps(values, indent=2) + "\n"))


def load_tensors(path: Path) -> object:
    """The tensors and plain data that torch.save wrote to a file, on the CPU; no code in it runs.

    torch raises nearly anything on another file. What it warns of is left out: the caller says what is wrong."""
    import torch  # slow to import, and files are written without it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)
