"""Checkpoints: saved atomically, loaded without running code."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from ssvae_cli.errors import UserError, require
from ssvae_cli.runs import CHECKPOINT as LAST


def atomic_write(path: Path, write) -> None:
    """Let `write(temporary path)` make the file, then put it in place whole: `path` is never half written.

    Raises UserError where the disk is full or does not let it be written; what was there before is then untouched.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # the new name too outlives a power cut
        os.close(folder)
    except OSError as error:
        kept = "; the one before it is whole" if path.exists() else ""
        raise UserError(f"{path} cannot be written ({error.strerror}){kept}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def save(run: Path, state: dict) -> None:
    """Replace the run's last checkpoint."""
    whole = io.BytesIO()  # torch, writing to a full disk itself, would not say what went wrong
    torch.save(state, whole)
    atomic_write(run / LAST, lambda path: path.write_bytes(whole.getbuffer()))


def load(run: Path, key: str = "resume") -> dict:
    """The run's last checkpoint, on the CPU; key: what named the run.

    Raises UserError where there is none, or one that is no plain data.
    """
    path = run / LAST
    require(path.is_file(), f"{key}={run}: no checkpoint there ({LAST} is missing); give the folder of a run")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on a bad file
        code = "Unsupported" in str(error) or "WeightsUnpickler" in str(error)
        reason = "it holds more than tensors and plain data" if code else "damaged or cut short"
        raise UserError(f"{path} is no checkpoint of ssvae: {reason}") from error


@contextlib.contextmanager
def fitting(run: Path) -> Iterator[None]:
    """Inside, what a checkpoint holds is put in place; raises UserError where it is not what the run's parts take."""
    try:
        yield
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[-1].strip()
        raise UserError(f"{run / LAST} does not fit the run's configuration ({reason})") from error


def random_state(device: torch.device) -> list[torch.Tensor]:
    """The global random generators' states: the CPU's, and the GPU's where the run is on one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(states: list[torch.Tensor], device: torch.device) -> None:
    """Put `random_state` back; a GPU's part is left out where the run goes on without one."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
