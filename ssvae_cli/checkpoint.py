"""Checkpoints: saved atomically, loaded without running code."""

import os
from pathlib import Path

import torch

from ssvae_cli.errors import UserError, require

LAST = Path("checkpoints") / "last.pt"


def atomic_write(path: Path, write) -> None:
    """Let `write(temporary path)` make the file, then put it in place whole: `path` is never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(run: Path, state: dict) -> None:
    """Replace the run's last checkpoint."""
    atomic_write(run / LAST, lambda path: torch.save(state, path))


def load(run: Path) -> dict:
    """The run's last checkpoint, on the CPU. Raises UserError where there is none, or one that is no plain data."""
    path = run / LAST
    require(path.is_file(), f"resume={run}: no checkpoint there ({LAST} is missing); give the folder of a run")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on a bad file
        code = "Unsupported" in str(error) or "WeightsUnpickler" in str(error)
        reason = "it holds more than tensors and plain data" if code else "damaged or cut short"
        raise UserError(f"{path} is no checkpoint of ssvae: {reason}") from error


def random_state(device: torch.device) -> list[torch.Tensor]:
    """The global random generators' states: the CPU's, and the GPU's where the run is on one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(states: list[torch.Tensor], device: torch.device) -> None:
    """Put `random_state` back; a GPU's part is left out where the run goes on without one."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
