"""A sweep: where each of its jobs writes and what became of it, so that no job is lost to the failure of another.

Hydra stops a sweep at its first failure; here every job runs. A launcher may run it in another process or on another
machine, so what becomes of it is written to the sweep's folder, wherever its own folder lies. The end of a sweep lists
the jobs that failed.
"""

import gc
import os
import sys
from pathlib import Path

from ssvae_cli.cli.claim import Claim, claim_again, claim_new
from ssvae_cli.errors import allowed, require
from ssvae_cli.paths import shell_command, typed
from ssvae_cli.run_folder import begun_jobs, is_finished, last_line

KILLED = "it ended without a message, as a killed process does"


def claim_job(sweep: Path, number: int, folder: Path) -> Claim:
    """The folder of a job, which was its own before or is empty. Raises UserError for any other."""
    here, jobs = os.path.relpath(folder, sweep), begun_jobs(sweep)
    for job in jobs:
        require(job.number == number or job.folder != here, f"{folder} is the folder of job {job.number} as well")
    if any(job.number == number and job.folder == here and job.is_own for job in jobs):
        return claim_again(folder, "hydra.sweep.subdir")
    return claim_new(folder, "hydra.sweep.subdir")


class Sweep:
    """The sweep that this process began. count: how many jobs it has; None where a search decides on the way."""

    def __init__(self, folder: Path, count: int | None):
        self.folder, self.count = folder, count
        self._ended_before = self.ended()

    def ended(self) -> int:
        """How many jobs have ended without failing."""
        return sum(job.failed is None and is_finished(self.folder / job.folder) for job in begun_jobs(self.folder))

    def print_failed(self, command: str) -> int:
        """Print what is missing, and the command that runs it if there is one; returns how many jobs that are."""
        jobs = {job.number: job for job in begun_jobs(self.folder)}
        failed = [f"{self.folder / job.folder} failed: {job.failed}" for job in jobs.values() if job.failed is not None]
        failed += [f"job {number} has not begun" for number in range(self.count or 0) if number not in jobs]
        for line in failed:
            print(f"ssvae: {line}", file=sys.stderr)
        if failed:
            resume = shell_command("ssvae", "train", f"sweep.resume={typed(self.folder)}")
            remedy = f"; {resume} runs what is missing" if command == "train" else ""
            print(f"ssvae: {len(failed)} failed{remedy}", file=sys.stderr)
        return len(failed)

    def print_ended(self) -> None:
        """Print that nothing is missing, and the command that compares the jobs."""
        ended = self.ended()
        word = "had ended" if ended == self._ended_before else "have ended"
        report = shell_command("ssvae", "report", f"runs={typed(self.folder)}")
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
    """Free what an earlier job of this process left: compiled graphs, of which torch keeps 8 of a function and then
    compiles no more; reference cycles; the GPU's cached blocks, and its peak."""
    if dynamo := sys.modules.get("torch._dynamo"):
        dynamo.reset()
    gc.collect()
    torch = sys.modules.get("torch")  # of a first job nothing is there yet, and a mistake shows without it
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
