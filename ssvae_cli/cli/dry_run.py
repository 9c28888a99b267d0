"""`sweep.dry_run=true`: the jobs of a sweep, their folders and what is done, before anything starts."""

import sys
from collections import Counter
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ssvae_cli.cli.overrides import override_name
from ssvae_cli.errors import counted, require, require_bool
from ssvae_cli.report.unfinished import unfinished
from ssvae_cli.run_folder import begun_jobs, is_finished
from ssvae_cli.tracking import tables

KEY = "sweep.dry_run"
TEXT = ("what varies", "folder", "state")


class Listed(BaseException):
    """The jobs were listed, and none is to start; Hydra turns every Exception of a callback into a warning."""


def is_asked(config: DictConfig) -> bool:
    """Whether the jobs are to be listed alone. Raises UserError for a value that is neither true nor false."""
    asked = OmegaConf.select(config, KEY, default=False)
    require_bool(**{KEY: asked})
    return asked


def as_begun(jobs: list[list[str]] | None) -> list[list[str]]:
    """The overrides of each job as without this setting. Raises UserError for a search, `jobs=None`."""
    require(jobs is not None, f"{KEY}=true: a search decides its jobs on the way; the jobs of a plain sweep are listed")
    return [[line for line in job if override_name(line) != KEY] for job in jobs]


def list_jobs(sweep: Path, jobs: list[list[str]], folders: list[Path]) -> None:
    """Print a line for each job of the sweep, of its overrides and its folder; raises Listed."""
    states = state_of_jobs(sweep)
    rows = []
    for number, (job, folder) in enumerate(zip(jobs, folders)):
        varying = [line for line in job if any(line not in other for other in jobs)]
        rows.append((str(number), " ".join(varying), str(folder), states.get(number, "not begun")))
    tables.show(("job", *TEXT), rows, text=TEXT)
    counts = Counter(state.partition(":")[0] for *_, state in rows)
    numbers = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"ssvae: {counted(len(rows), 'job')} ({numbers}); none was started", file=sys.stderr)
    raise Listed


def state_of_jobs(sweep: Path) -> dict[int, str]:
    """What became of the jobs of a sweep that have begun, by their numbers."""
    states = {}
    for job in begun_jobs(sweep):
        folder = sweep / job.folder
        if job.failed is None and is_finished(folder):
            states[job.number] = "finished"
        else:
            found = unfinished(folder, job.failed)
            states[job.number] = f"{found.state}: {found.reason}"
    return states
