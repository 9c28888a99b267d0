"""Checkpoints: saved atomically, loaded without running code, compared with the configuration that resumes them."""

import contextlib
import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.datasets.fingerprint import difference
from ssvae_cli.errors import UserError, require
from ssvae_cli.files import atomic_write, load_tensors, reading
from ssvae_cli.instantiate.trust import refuse_untrusted
from ssvae_cli.paths import literal
from ssvae_cli.run_folder import CHECKPOINT, DATA_PATHS, checkpoint_of, flatten
from ssvae_cli.training import portable

MAY_CHANGE = (
    "trainer.device",
    "dataset.workers",
    "evaluation.test",
    *(f"dataset.{key}" for key in DATA_PATHS),  # the data are compared by their fingerprints
)  # when a run is resumed, besides trainer.epochs upward
READ = ("config", "sample", "shapes", "objective", "average", "epoch")  # whatever a checkpoint is loaded for
ASKING = ("resume", "trust", "sweep.resume")  # the keys that ask for it


def save(run: Path, state: dict) -> None:
    """Replace the run's last checkpoint."""
    buffer = io.BytesIO()  # torch, writing to a full disk itself, would not say what went wrong
    torch.save(state, buffer)
    atomic_write(run / CHECKPOINT, lambda path: path.write_bytes(buffer.getbuffer()))


def load(run: Path, key: str = "resume", name: str = "last") -> dict:
    """The run's last checkpoint, on the CPU, or the model that `ssvae embed export=huggingface` wrote there.

    key: the setting that named the run. name: of another checkpoint that is kept, best or epoch_10.
    Raises UserError where there is none, or one that holds more than plain data."""
    path = checkpoint_of(run, key, name)
    if path is None:
        return portable.load(run)
    fault = f"{path} is no checkpoint of ssvae"
    anew = f"damaged or cut short; train the run anew, in another folder, or once {run} is removed"
    with reading(path, f"{fault}: {anew}"):
        try:
            state = load_tensors(path)
        except (RuntimeError, pickle.UnpicklingError) as error:
            if zipfile.is_zipfile(path) and ("Unsupported" in str(error) or "WeightsUnpickler" in str(error)):
                raise UserError(f"{fault}: it holds more than tensors and plain data") from error
            raise
    missing = [name for name in READ if not isinstance(state, dict) or name not in state]
    require(not missing, f"{fault}: it lacks {', '.join(missing)}; give the folder of a run of ssvae train")
    return state


@contextlib.contextmanager
def fitting(run: Path) -> Iterator[None]:
    """A context in which a checkpoint is loaded into the run's parts; raises UserError where it does not fit them."""
    try:
        yield
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[-1].strip()
        raise UserError(f"{run / CHECKPOINT} does not fit the run's configuration ({reason})") from error


def random_state(device: torch.device) -> list[torch.Tensor]:
    """The global random generators' states: the CPU's, and the GPU's where the run is on one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(states: list[torch.Tensor], device: torch.device) -> None:
    """Put `random_state` back; a GPU's part is left out where the run goes on without one."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


def resolved_yaml(config: DictConfig) -> str:
    """The configuration as YAML, every reference resolved; a path with ${ in its name reads back as it is."""

    def escaped(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: escaped(value) for key, value in node.items()}
        if isinstance(node, list):
            return [escaped(value) for value in node]
        return literal(node) if isinstance(node, str) else node

    return OmegaConf.to_yaml(OmegaConf.create(escaped(OmegaConf.to_container(config, resolve=True))))


def other_data(before: dict | None, now: dict) -> str | None:
    """How data, by their fingerprints, differ from those that a run was started with; None where they do not, and where
    no fingerprint was kept."""
    how = difference(before, now) if before else None
    return how and f"the data are not those that the run was started with ({how})"


def refuse_other_data(run: Path, before: dict | None, now: dict) -> None:
    """Raise UserError where there are `other_data`."""
    fault = other_data(before, now)
    require(fault is None, f"resume={run}: {fault}; a new run trains on them")


def refuse_other_run(run: Path, config: DictConfig) -> None:
    """Raise UserError unless `run` can go on under `config`: classes that are trusted, and the same configuration."""
    saved = load(run)["config"]
    refuse_untrusted(config, run, trust=config.trust)
    refuse_other_config(run, saved, config)


def refuse_other_config(run: Path, saved: str, now: DictConfig) -> None:
    """Raise UserError, naming each key, where the configuration is not the one that the run was started with."""
    before, after = flatten(OmegaConf.create(saved)), flatten(now)
    changed = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        upward = key == "trainer.epochs" and isinstance(new, int) and new >= old
        if old != new and key not in (*MAY_CHANGE, *ASKING) and not upward:
            changed.append(f"{key} was {old}, now {new}")
    if changed:
        raise UserError(
            f"resume={run}: the configuration differs: {'; '.join(changed)}; "
            f"allowed to change: trainer.epochs upward, {', '.join(MAY_CHANGE)}, trust"
        )
