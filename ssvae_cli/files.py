"""Files that are never half written, nor into a folder that is another's by now; tensors read without running code."""

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssvae_cli.errors import FolderGone, UserError, first_line, machine_error

if TYPE_CHECKING:
    from torch import Tensor

# With these the system refuses to read a file, and says nothing of what is in it.
REFUSED = {errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOENT, errno.EPERM, errno.ESTALE}

# The folders that this process has for itself, each by a descriptor that stays open: it tells a folder from one of the
# same name that was made later.
claimed: dict[int, Path] = {}


def is_gone(path: Path) -> bool:
    """Whether `path` is, or lies in, a folder that was claimed and is not in its place any more."""
    within = ((descriptor, folder) for descriptor, folder in claimed.items() if path.absolute().is_relative_to(folder))
    return not all(_is_at(descriptor, folder) for descriptor, folder in within)


def _is_at(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except OSError:
        return False


def require_claimed(path: Path) -> None:
    """Raise FolderGone where `is_gone`."""
    if is_gone(path):
        raise FolderGone(f"the run's folder is gone: {path} was deleted, moved or replaced while it was written to")


def close_quietly(opened: Any) -> None:
    """Close a file, or a writer, of a run that has failed: what cannot be written any more is lost."""
    with contextlib.suppress(Exception):
        opened.close()


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write(temporary path)` make the file, then rename it to `path`, which is never half written.

    Its own folder is made, but none above. Raises FolderGone as `require_claimed`, and UserError where the disk is full
    or not writable; the earlier file is then untouched."""
    require_claimed(path.parent)
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(exist_ok=True)
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
    atomic_write(path, lambda at: at.write_text(json.dumps(values, indent=2) + "\n", "utf-8"))


def write_safetensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None) -> None:
    """Tensors by their names as safetensors, written atomically. Each is copied: the format allows no two that
    share memory, as tied weights do."""
    from safetensors.torch import save  # imports torch

    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    atomic_write(path, lambda at: at.write_bytes(save(own, metadata)))


@contextlib.contextmanager
def reading(path: Path, fault: str) -> Iterator[None]:
    """Inside, `path` is read: what goes wrong is a UserError that says `fault`, or that the system did not let it be
    read. A UserError, and too little memory, stay what they are."""
    try:
        yield
    except Exception as error:  # torch and safetensors raise nearly anything on a bad file, EINVAL on one cut short
        if isinstance(error, OSError) and error.errno in REFUSED:
            raise UserError(f"{path} cannot be read ({error.strerror})") from error
        if isinstance(machine_error(error), UserError):
            raise
        raise UserError(fault) from error


@contextlib.contextmanager
def reading_as(kind: str, asked: str) -> Iterator[None]:
    """Inside, a library reads the file that was `asked` for, as path=FILE, and raises nearly anything: a UserError with
    its reason. A UserError, and too little memory, stay what they are."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"{asked}: cannot be read as {kind} ({first_line(error)})") from error


def load_tensors(path: Path) -> object:
    """The tensors and plain data that torch.save wrote to a file, on the CPU; no code in it runs.

    What torch warns of is left out: the caller says what is wrong, as by `reading`."""
    import torch  # slow to import, and files are written without it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)
