"""The folders of a run and of a sweep: the names of their files, and what has ended."""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ssvae_cli.errors import allowed, in_yaml, require
from ssvae_cli.files import write_json, write_text
from ssvae_cli.paths import existing_folder, typed

CHECKPOINT = Path("checkpoints") / "last.pt"
METRICS = "metrics.jsonl"  # a line an epoch
BEGINS = "run: "  # in a run's log, with its folder, where training begins
CONFIG, MODEL = "config.json", "model.safetensors"  # what `ssvae embed export=huggingface` writes
SPLIT = "split.json"  # the names of the samples of each split, where they have names
FAILED = "failed.txt"  # in the folder of a sweep's job until it has ended: why it did not
SWEEP = "multirun.yaml"  # in a sweep's folder, by Hydra
DATA_PATHS = ("path", "test_path", "root")  # of a data set: where its files are
JOBS = ".jobs"  # in a sweep's folder: <number>.json for each job that has begun


def holds_run(run: Path) -> bool:
    """Whether something was trained in a folder; a run killed before its first checkpoint is none."""
    metrics = run / METRICS
    return (run / CHECKPOINT).exists() or (metrics.exists() and metrics.stat().st_size > 0)


def checkpoint_of(run: Path, key: str, name: str) -> Path | None:
    """The file of a run's last checkpoint, or of another that is kept, best or epoch_10; None where the folder holds
    the exported model instead. Raises UserError for a folder that is not there or holds neither; key: what named it."""
    existing_folder(str(run), key, "give the folder of a run")
    path = run / CHECKPOINT
    if not path.exists() and (run / CONFIG).is_file() and (run / MODEL).is_file():
        return None
    if name != path.stem:
        kept = [file.stem for file in path.parent.glob("*.pt")]
        given = name if isinstance(name, str) else in_yaml(name)
        require(name in kept, f"checkpoint={given}: {key}={run} has no such; {allowed(given, kept)}")
        path = path.with_name(f"{name}.pt")
    missing = f"no checkpoint there ({CHECKPOINT} is missing); give the folder of a run"
    require(path.is_file(), f"{key}={run}: {instead_of_sweep(run) or missing}")
    return path


def instead_of_sweep(folder: Path) -> str | None:
    """What to give instead of a folder that holds a sweep, for an error line; None of another folder."""
    if not (folder / SWEEP).is_file():
        return None
    runs = (folder / job.folder for job in begun_jobs(folder))
    run = next((run for run in runs if holds_run(run)), None)
    return "a sweep; give one of its runs" + (f", as {typed(run)}" if run else "")


def is_finished(folder: Path) -> bool:
    """Whether a job of a sweep has ended without failing, with a complete summary."""
    return has_summary(folder) and not (folder / FAILED).exists()


def has_summary(run: Path) -> bool:
    """Whether a run's summary is there and complete: a copy of a folder may have been cut short."""
    with contextlib.suppress(OSError, ValueError):
        json.loads((run / "summary.json").read_text("utf-8"))
        return True
    return False


def data_elsewhere(run: Path, dataset: Mapping | None) -> dict[str, str]:
    """The relative paths of a run's data set, by their key below `dataset`, that lead to files from the folder in which
    the run was started: in full, where a command is typed in another one. Others, as of a run that was moved to another
    machine, are left to lead from the present folder."""
    started_in = recorded(run / ".hydra" / "hydra.yaml", "hydra.runtime.cwd")
    if not isinstance(started_in, str) or started_in == os.getcwd():
        return {}
    paths = {key: path for key in DATA_PATHS if isinstance(path := (dataset or {}).get(key), str)}
    places = {key: os.path.join(started_in, path) for key, path in paths.items() if path[:1] not in ("~", "/")}
    return {key: os.path.abspath(place) for key, place in places.items() if os.path.exists(place)}


def recorded(file: Path, key: str) -> Any:
    """What a YAML file of a run or a sweep holds at a dotted key, as plain values; None for a file that is missing or
    damaged, and for a key that is not there or leads nowhere."""
    with contextlib.suppress(OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException):
        value = OmegaConf.select(OmegaConf.load(file), key)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return None


def has_ended(run: Path, epochs: int) -> bool:
    """Whether a run has ended after so many epochs, with a complete summary."""
    return has_summary(run) and last_line(run).get("epoch", 0) == epochs


def last_line(run: Path) -> dict:
    """A run's metrics after its last epoch; {} where there are none."""
    return (history(run) or [{}])[-1]


def history(run: Path) -> list[dict]:
    """The lines of a run's metrics.jsonl, but for what a process that writes, or was killed, left incomplete."""
    lines = []
    with contextlib.suppress(OSError):
        for line in (run / METRICS).read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict)]


@dataclass(frozen=True)
class Job:
    """A job that has begun.

    folder: relative to the sweep's, so that a sweep may be moved. is_own: whether the job could claim it. failed: why
    the job has not ended, or null."""

    number: int
    folder: str
    is_own: bool
    failed: str | None

    def save(self, sweep: Path) -> None:
        """Write it to the sweep's folder and, where the job has its own folder without a finished run, why it
        failed to that."""
        write_json(sweep / JOBS / f"{self.number}.json", asdict(self))
        folder = sweep / self.folder
        if self.is_own and self.failed is None:
            (folder / FAILED).unlink(missing_ok=True)
        elif self.is_own and not is_finished(folder):
            write_text(folder / FAILED, f"{self.failed}\n")


def begun_jobs(sweep: Path) -> list[Job]:
    """The jobs of a sweep that have begun, by their numbers, without those that ended in a folder that is gone."""
    found = []
    for path in (sweep / JOBS).glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(Job(**json.loads(path.read_text("utf-8"))))
    there = [job for job in found if job.failed is not None or (sweep / job.folder).is_dir()]
    return sorted(there, key=lambda job: job.number)


def flatten(config: DictConfig | dict, prefix: str = "") -> dict[str, object]:
    """Nested config to dotted keys."""
    plain = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    flat = {}
    for key, value in plain.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
