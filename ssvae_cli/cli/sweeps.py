"""Hydra's callback: a run's folder holds no other run, and a sweep loses no job to the failure of another.

Hydra stops a sweep at its first failure; here every job runs, and its outcome is written to its folder, since a
launcher may run it in another process or on another machine. The end of a sweep lists the jobs that failed.
"""

import functools
import gc
import sys
from pathlib import Path
from typing import NamedTuple

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssvae_cli.distributed.launch import is_worker
from ssvae_cli.errors import UserError, allowed, machine_error, require
from ssvae_cli.paths import shell_command, shell_word, typed
from ssvae_cli.run_folder import FAILED, holds_run, is_finished, last_line, remove_empty


class Sweep(NamedTuple):
    """A sweep's folder, and how many of its jobs had ended before it began."""

    folder: Path
    ended: int


failures: list[Exception] = []  # of the single run of this process
sweeps: list[Sweep] = []  # that this process began


def without_hydra(config: DictConfig) -> DictConfig:
    """The user's part of a composed configuration."""
    return OmegaConf.masked_copy(config, [k for k in config if k != "hydra"])


class Refused(BaseException):
    """A mistake on its way through Hydra, which turns every Exception of a callback into a warning."""

    def __init__(self, error: Exception):
        self.error = error


def refusing(check):
    """Let a callback refuse the command by raising UserError."""

    @functools.wraps(check)
    def callback(*args, **kwargs):
        try:
            check(*args, **kwargs)
        except UserError as error:
            raise Refused(error) from None
        except OSError as error:
            raise Refused(machine_error(error)) from None
        except OmegaConfBaseException as error:  # a ${...} in the folder's name that leads nowhere
            raise Refused(error) from None

    return callback


class Guard(Callback):
    """Before Hydra writes anything: is the folder free, or the very run that is to be resumed?"""

    @refusing
    def on_run_start(self, config: DictConfig, **kwargs) -> None:
        if is_worker():
            return
        run = Path(config.hydra.run.dir)
        if config.get("resume") is None:
            resume = shell_word(f"resume={typed(run)}")
            require(not holds_run(run), f"hydra.run.dir={run} already holds a run; give another folder, or {resume}")
        else:
            from ssvae_cli.training.checkpoint import refuse_other_run  # torch, which completion does without

            refuse_other_run(run, without_hydra(config))

    @refusing
    def on_multirun_start(self, config: DictConfig, **kwargs) -> None:
        require(config.get("resume") is None, "resume goes on with one run; leave out -m, or give sweep.resume=DIR")
        sweep, again = Path(config.hydra.sweep.dir), OmegaConf.select(config, "sweep.resume")
        occupied = any(sweep.glob("*/metrics.jsonl")) or any(sweep.glob(f"*/{FAILED}"))
        resume = shell_word(f"sweep.resume={typed(sweep)}")
        require(
            again is not None or not occupied,
            f"hydra.sweep.dir={sweep} already holds a sweep; give another folder, or {resume}",
        )
        sweeps.append(Sweep(sweep, ended_jobs(sweep)))

    def on_job_start(self, config: DictConfig, **kwargs) -> None:
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        clear_memory()
        assign_gpu(config.hydra.job.num)
        folder = Path(config.hydra.runtime.output_dir)
        if not is_finished(folder):
            (folder / FAILED).write_text("it ended without a message, as a killed process does\n")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs) -> None:
        error = job_return._return_value if job_return.status is JobStatus.FAILED else None
        if error is not None:
            job_return.status, job_return.return_value = JobStatus.COMPLETED, None
        if config.hydra.mode != RunMode.MULTIRUN:
            failures.extend([error] if error else [])
            return
        note = Path(config.hydra.runtime.output_dir) / FAILED
        if error is None:
            note.unlink(missing_ok=True)
        else:
            note.write_text(f"{type(error).__name__}: {error}\n")


def failed_jobs(sweep: Path) -> list[str]:
    """A line for each job that did not end: its folder, and why."""
    notes = sorted(sweep.glob(f"*/{FAILED}"), key=lambda note: (len(note.parent.name), note.parent.name))
    return [f"{note.parent} failed: {note.read_text().strip()}" for note in notes]


def ended_jobs(sweep: Path) -> int:
    """How many jobs of a sweep have ended."""
    return sum(is_finished(summary.parent) for summary in sweep.glob("*/summary.json"))


def print_failed(sweep: Sweep) -> int:
    """Print what is missing from a sweep and the command that runs it; returns how many jobs failed."""
    failed = failed_jobs(sweep.folder)
    for line in failed:
        print(f"ssvae: {line}", file=sys.stderr)
    if failed:
        remedy = f"{shell_command('ssvae', 'train', f'sweep.resume={typed(sweep.folder)}')} runs what is missing"
        print(f"ssvae: {len(failed)} failed; {remedy}", file=sys.stderr)
    return len(failed)


def print_ended(sweep: Sweep) -> None:
    """Print that nothing is missing from a sweep, and the command that compares its jobs."""
    ended = ended_jobs(sweep.folder)
    word = "had ended" if ended == sweep.ended else "have ended"
    report = shell_command("ssvae", "report", f"runs={typed(sweep.folder)}")
    print(f"ssvae: all jobs {word} ({ended}); {report} compares them", file=sys.stderr)


def metric_of(run: Path, name: str) -> float | None:
    """The number that a searching sweeper optimises, of an ended run. Raises UserError for a name that it lacks."""
    known = last_line(run)
    require(name in known, f"sweep.metric={name}: no such number in metrics.jsonl; {allowed(name, known)}")
    return known[name]


def assign_gpu(job: int) -> None:
    """Give the jobs of a sweep the machine's GPUs in turn: launchers run several at once."""
    import torch

    if torch.cuda.device_count() > 1:
        torch.cuda.set_device(job % torch.cuda.device_count())


def clear_memory() -> None:
    """Free what an earlier job of this process left: reference cycles, the GPU's cached blocks, its peak."""
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def clear_unbegun(sweep: Path) -> None:
    """Remove what Hydra wrote for a sweep none of whose jobs could be composed."""
    if not any(path.is_dir() for path in sweep.glob("*")):
        (sweep / "multirun.yaml").unlink(missing_ok=True)
        remove_empty(sweep)
