"""The runs and jobs that have no result, and why."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from ssvae_cli.paths import shell_command, typed
from ssvae_cli.run_folder import BEGINS, CHECKPOINT, JOBS, SWEEP, begun_jobs, last_line

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser, where libyaml is installed, is ten times faster
NO_RUNS = (JOBS, ".hydra", "checkpoints", "figures")  # folders in which there are none


@dataclass(frozen=True)
class Unfinished:
    """A run or a job that has no result. state: failed, stopped, running, unreadable, repeated, not begun."""

    folder: Path
    state: str
    reason: str
    remedy: str = ""  # the command that goes on with it


def unfinished(folder: Path, failure: str | None) -> Unfinished:
    """What became of a run without a result. failure: why it failed, None where that is not recorded."""
    if is_locked(folder):
        return Unfinished(folder, "running", progress(folder))
    resume = shell_command("ssvae", "train", f"resume={typed(folder)}") if (folder / CHECKPOINT).exists() else ""
    if reason := failure or raised(folder):
        return Unfinished(folder, "failed", reason, resume)
    return Unfinished(folder, "stopped", progress(folder), resume)


def not_begun(root: Path) -> Iterator[Unfinished]:
    """The sweeps at or below a folder with jobs that have not begun; a sweeper that searches plans none ahead."""
    for name, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - set(NO_RUNS))
        if SWEEP not in files or not is_of_train(Path(name, SWEEP)):
            continue
        sweep, begun = Path(name), {job.number for job in begun_jobs(Path(name))}
        missing = [f"job {i} ({' '.join(job)})" for i, job in enumerate(planned(sweep)) if i not in begun]
        if missing and begun:
            resume = shell_command("ssvae", "train", f"sweep.resume={typed(sweep)}")
            yield Unfinished(sweep, "not begun", ", ".join(missing), resume)


def planned(sweep: Path) -> list[list[str]]:
    """What varies in each job of a sweep; nothing where that is unknown."""
    hydra = below(stored(sweep / SWEEP), "hydra")
    target, params = (below(hydra, "sweeper", key) for key in ("_target_", "params"))
    task = below(hydra, "overrides", "task")
    if not str(target).endswith(".BasicSweeper") or not isinstance(task, list):
        return []
    given = [f"{key}={value}" for key, value in params.items()] if isinstance(params, dict) else []
    with contextlib.suppress(HydraException, ValueError):  # choices as glob(*), which stand for those of then
        parsed = OverridesParser.create().parse_overrides([*given, *map(str, task)])
        jobs = BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]
        return [[word for word in job if any(word not in other for other in jobs)] for job in jobs]
    return []


def is_of_train(record: Path) -> bool:
    """Whether Hydra's record of a run or a sweep is of ssvae train; true where that cannot be read."""
    return below(stored(record), "hydra", "job", "config_name") in ("train", None)


def stored(file: Path) -> Any:
    """What a YAML file of a run or a sweep holds; None where it is missing or damaged."""
    with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        return yaml.load(file.read_text("utf-8"), LOADER)
    return None


def below(value: Any, *keys: str) -> Any:
    """What a mapping of mappings holds below these keys; None where it has no such."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def is_locked(folder: Path) -> bool:
    """Whether a process is writing into a folder: it holds the folder's lock as long as it runs."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # a job whose folder could not be made
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        pass
    finally:
        os.close(lock)
    return False


def progress(folder: Path) -> str:
    """'after epoch 3 of 30', as far as that can be read."""
    end = below(stored(folder / ".hydra" / "config.yaml"), "trainer", "epochs")
    return f"after epoch {last_line(folder).get('epoch', 0)}{'' if end is None else f' of {end}'}"


def raised(folder: Path) -> str | None:
    """The exception that ended a run, by the traceback at the end of its log; None without one."""
    for path in sorted(folder.glob("*.log")):  # train.log, or as hydra.job.name says
        with contextlib.suppress(OSError):
            lines = path.read_text("utf-8", "replace").rstrip().splitlines()
            began = max((i for i, line in enumerate(lines) if line.startswith(BEGINS)), default=0)
            if any(line.startswith("Traceback (") for line in lines[began:]):
                return lines[-1]
    return None
