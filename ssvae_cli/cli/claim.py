"""The claim of a folder: a command writes only where nothing was, and removes only what it made itself.

A folder is claimed before Hydra or a command writes anything. It is claimed exclusively: made by this process, or empty
and locked by it. The lock lasts as long as the process, so that two commands never write in one folder.
"""

import contextlib
import fcntl
import itertools
import logging
import os
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ssvae_cli.errors import UserError, require
from ssvae_cli.files import atomic_write, claimed, is_gone, require_claimed
from ssvae_cli.run_folder import CHECKPOINT, METRICS, SPLIT, holds_run
from ssvae_cli.tracking.missing import REASONS
from ssvae_cli.tracking.mlflow_store import ID as MLFLOW_ID
from ssvae_cli.tracking.tensorboard import SUFFIX
from ssvae_cli.tracking.weights_and_biases import ID as WANDB_ID

RECORDS = ".hydra"  # the folder of the composed configuration and the overrides, in that of a run
ENDS = ("summary.json", REASONS, f"events.out.tfevents.*{SUFFIX}")  # what `train` ends with, and writes anew

# What a command may find in its folder besides its records and its log, and goes over: what `train` left before its
# first checkpoint, and an earlier report.
GOES_OVER = {
    "train": (METRICS, SPLIT, f"events.out.tfevents.*{SUFFIX}", "wandb", WANDB_ID, MLFLOW_ID, "checkpoints"),
    "report": ("report.html", "report.md", "tables.tex", "table.csv", "runs.csv", "figures"),
}


def close_locks() -> None:
    """In a process that was forked: the locks are its parent's."""
    for lock in claimed:
        os.close(lock)
    claimed.clear()


os.register_at_fork(after_in_child=close_locks)


class Claim:
    """A folder that this process has for itself until `end`, and what it made in it and above it."""

    def __init__(self, folder: Path, setting: str):
        """setting: the key that named the folder, for errors."""
        self.folder, self.given = folder.absolute(), f"{setting}={folder}"
        self.made: list[Path] = []  # outermost first
        self._replaced: dict[Path, bytes] = {}  # records of an earlier command, as they were
        self._aside: list[str] = []  # files of ENDS, which meanwhile lie among the records
        self._written = 0  # bytes of METRICS
        self._begun_at: tuple[int, int] | None = None  # what `version` said of the checkpoint then
        self._lock: int | None = None

    def take(self, *, new: bool = False, is_own: Callable[[], bool] = lambda: False) -> bool:
        """Whether the folder could be claimed: it was made here, was empty or, unless it must be new, `is_own`.

        Raises UserError where it cannot be made."""
        try:
            require_claimed(self.folder)  # a sweep's, for a job
            made = self._make()
            require(self.folder.is_dir(), f"{self.given} is a file; give a folder")
            free = (made or not new) and self.lock() and (not os.listdir(self.folder) or is_own())
        except (OSError, UserError) as error:
            self.withdraw()
            reason = f"{self.given} cannot be written ({getattr(error, 'strerror', None)})"
            raise error if isinstance(error, UserError) else UserError(reason) from error
        if not free:
            self.withdraw()
        return free

    def _make(self) -> bool:
        """Make the folder and those above it; whether the folder itself was made here."""
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another process made it meanwhile
                path.mkdir()
                self.made.append(path)
        return self.folder in self.made

    def lock(self) -> bool:
        """Whether no other process has the folder. True where the file system has no locks."""
        lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except OSError:
            pass
        self._lock = lock
        claimed[lock] = self.folder
        return True

    def store(self, records: dict[str, str]) -> None:
        """Write the records, name -> text, each atomically, and set aside what an earlier command ended with: it would
        pass for that of this one. Raises UserError where the disk is full or read-only."""
        self._begun_at, metrics = version(self.folder / CHECKPOINT), self.folder / METRICS
        self._written = metrics.stat().st_size if metrics.exists() else 0
        for name, text in records.items():
            path = self.folder / RECORDS / name
            if path.exists():
                self._replaced[path] = path.read_bytes()
            self.made += [new for new in (path.parent, path) if not new.exists() and new not in self.made]
            atomic_write(path, lambda at, text=text: at.write_text(text, encoding="utf-8"))
        remove(self.folder / RECORDS, ENDS)  # left by a process that was killed
        for path in matching(self.folder, ENDS):  # moved, which can be undone on a full disk too
            os.replace(path, self.folder / RECORDS / path.name)
            self._aside.append(path.name)

    def restore(self) -> None:
        """Put back what `store` replaced or set aside, unless a checkpoint was written under the new ones: the run goes
        by what it was trained with."""
        if not is_gone(self.folder) and version(self.folder / CHECKPOINT) == self._begun_at:
            for path, content in self._replaced.items():
                with contextlib.suppress(UserError):  # on a full disk
                    atomic_write(path, lambda at, content=content: at.write_bytes(content))
            with contextlib.suppress(OSError):
                self._restore_ends()

    def _restore_ends(self) -> None:
        metrics = self.folder / METRICS
        if self._replaced and metrics.stat().st_size > self._written:  # of an epoch whose checkpoint was not saved
            os.truncate(metrics, self._written)
        if self._aside:
            remove(self.folder, ENDS)
        while self._aside:
            name = self._aside.pop()
            os.replace(self.folder / RECORDS / name, self.folder / name)

    def will_make(self, name: str) -> None:
        """A file of the folder that another part of this process may write; it is removed with the rest."""
        if not (self.folder / name).exists():
            self.made.append(self.folder / name)

    def withdraw(self) -> None:
        """Remove what was made here, unless the folder holds more by now, or is another; then nothing is removed."""
        if self.made and not is_gone(self.folder) and set(self.folder.rglob("*")) <= set(self.made):
            self._close_logs()
            for path in reversed(self.made):
                with contextlib.suppress(OSError):  # never made, or another process has put something there
                    path.rmdir() if path.is_dir() else path.unlink()
        self.end()

    def _close_logs(self) -> None:
        """What is logged from here on, as at the end of the process, is not for a file of this folder."""
        for handler in logging.getLogger().handlers[:]:
            if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == self.folder:
                logging.getLogger().removeHandler(handler)
                handler.close()

    def end(self) -> None:
        """Let the folder go, without what was set aside in it."""
        if self._aside and not is_gone(self.folder):
            remove(self.folder / RECORDS, ENDS)
        if claimed.pop(self._lock, None):
            os.close(self._lock)


def matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files of a folder whose names match one of the patterns."""
    return [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]


def remove(folder: Path, patterns: Iterable[str]) -> None:
    """Remove the files `matching`."""
    for path in matching(folder, patterns):
        path.unlink(missing_ok=True)


def version(file: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None where there is none."""
    with contextlib.suppress(OSError):
        found = file.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def claim_new(folder: Path, setting: str, *, is_own: Callable[[], bool] = lambda: False) -> Claim:
    """A folder that is new, empty or `is_own`. Raises UserError for any other."""
    claim = Claim(folder, setting)
    if not claim.take(is_own=is_own):
        names = sorted(os.listdir(folder))
        held = f"is not empty (it holds {', '.join(names[:3])}{' and more' if names[3:] else ''})"
        raise UserError(f"{claim.given} {held if names else 'is in use by another process'}; give another folder")
    return claim


def claim_timed(folder: Path, setting: str) -> Claim:
    """As `claim_new`, of a folder named by the time: where the name is taken, it gets -1, -2, ... at its end."""
    for number in itertools.count():
        claim = Claim(folder.with_name(f"{folder.name}-{number}") if number else folder, setting)
        if claim.take(new=True):
            return claim


def claim_again(folder: Path, setting: str) -> Claim:
    """A folder that this command goes on in; nothing of it is ever removed. Raises UserError where another process is
    writing there."""
    claim = Claim(folder, setting)
    require(claim.lock(), f"{claim.given}: another process is writing there; wait for its end")
    return claim


def is_left_by(command: str, job: str, overrides: list[str], folder: Path) -> bool:
    """Whether a folder holds the records of the same command with the same overrides, its log, and no result but what
    the command GOES_OVER."""
    names, records = (RECORDS, f"{job}.log", *GOES_OVER.get(command, ())), folder / RECORDS
    if holds_run(folder) or not all(any(fnmatch(name, n) for n in names) for name in os.listdir(folder)):
        return False
    try:
        return OmegaConf.to_container(OmegaConf.load(records / "overrides.yaml")) == overrides
    except FileNotFoundError:  # killed before it could write them
        return os.listdir(folder) == [RECORDS] and all(path.suffix == ".tmp" for path in records.iterdir())
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException):  # it is damaged, or not Hydra's
        return False
