"""The runs below some folders: finished ones with their numbers, the others with the reason."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from ssvae_cli.errors import UserError, counted, first_line, require
from ssvae_cli.paths import existing_folder
from ssvae_cli.report.unfinished import LOADER, NO_RUNS, Unfinished, is_of_train, not_begun, unfinished
from ssvae_cli.run_folder import FAILED, JOBS, SWEEP, begun_jobs, flatten, holds_run
from ssvae_cli.tracking.missing import REASONS

LARGEST = 1e100  # of what is compared and drawn


@dataclass(frozen=True)
class Run:
    """One finished run, read from its folder."""

    folder: Path
    seed: int
    config: dict[str, object]  # dotted keys
    choices: dict[str, str | None]  # group -> choice
    overrides: tuple[str, ...]
    values: dict[str, object]  # of summary.json, and of the last line of metrics.jsonl
    history: list[dict]
    reasons: dict[str, str]  # why numbers are null
    began: datetime

    def number(self, metric: str) -> float | None:
        """A metric's value; None where there is none."""
        return as_number(self.values.get(metric))

    @property
    def pictures(self) -> list[Path]:
        return sorted((self.folder / "figures").glob("*.png"))


def as_number(value: object) -> float | None:
    """A number of a run's files; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def find_runs(folders: list[Path]) -> tuple[list[Run], list[Unfinished]]:
    """The runs at or below some folders, each once. Raises UserError for a folder without any, or none finished."""
    finished, others = [], []
    for folder in folders:
        runs = runs_below(folder)
        require(bool(runs), f"runs={folder}: no finished run of ssvae train below it")
        finished += [run for run in runs if isinstance(run, Run)]
        others += [run for run in runs if isinstance(run, Unfinished)]
    finished, others = once(finished), once(others)
    given = ", ".join(map(str, folders))
    why = "; ".join(f"{run.folder}: {run.reason}" for run in others[:1])
    require(
        bool(finished),
        f"runs={given}: no finished run of ssvae train below it; {counted(len(others), 'other')}, as {why}",
    )
    return finished, others


def runs_below(folder: Path) -> list[Run | Unfinished]:
    """The runs at or below a folder, whatever became of them. Raises UserError where there is no such folder."""
    existing_folder(str(folder), "runs", "give the folder of a run or of a sweep")
    runs = {path.resolve(): read(path, failure) for path, failure in started(folder)}
    runs |= {run.folder.resolve(): run for run in not_begun(folder)}
    return list(runs.values())


def once(runs: list) -> list:
    """Each folder's run once, though folders may lie in one another."""
    return list({run.folder.resolve(): run for run in runs}.values())


def started(root: Path) -> Iterator[tuple[Path, str | None]]:
    """(folder, why it failed) of the runs of ssvae train at or below a folder, by their names; of a sweep's jobs also
    those whose folders lie elsewhere, or could not be made."""
    failures: dict[Path, str | None] = {}
    for name, folders, files in os.walk(root):
        folder = Path(name)
        if FAILED in files and is_of_train(folder / ".hydra" / "hydra.yaml"):
            with contextlib.suppress(FileNotFoundError):  # the job has ended meanwhile
                failures[folder] = (folder / FAILED).read_text("utf-8", "replace").strip()
        elif "metrics.jsonl" in files:
            failures[folder] = None
        if JOBS in folders and is_of_train(folder / SWEEP):
            jobs = {Path(os.path.normpath(folder / job.folder)): job for job in begun_jobs(folder)}
            lies_elsewhere = lambda path: not path.is_relative_to(root) and holds_run(path)
            failures |= {path: j.failed for path, j in jobs.items() if j.failed is not None or lies_elsewhere(path)}
        folders[:] = sorted(set(folders) - set(NO_RUNS), key=by_number)
    yield from failures.items()


def by_number(name: str) -> tuple[int, str]:
    """The order of a sweep's jobs, `10 prior=mi` after `2 prior=mi`."""
    number = name.split()[0] if name.strip() else ""
    return (int(number) if number.isdecimal() else -1, name)


def read(folder: Path, failure: str | None) -> Run | Unfinished:
    """A run from its folder; it has ended once it has a summary. failure: what was recorded of one that has not."""
    if not (folder / "summary.json").exists():
        return unfinished(folder, failure)
    try:
        return finished_run(folder)
    except UserError as error:
        return Unfinished(folder, "unreadable", str(error))
    except Exception as error:  # whatever files that were edited make of a run
        return Unfinished(folder, "unreadable", f"{type(error).__name__}: {error}".splitlines()[0])


def finished_run(folder: Path) -> Run:
    """A finished run from its folder. Raises UserError for a file that is damaged."""
    records = folder / ".hydra"
    config, hydra, why = parsed(records / "config.yaml", dict), records / "hydra.yaml", folder / REASONS
    history = [comparable(line) for line in epochs(folder / "metrics.jsonl")]
    values = (history[-1] if history else {}) | parsed(folder / "summary.json", dict)
    reasons = parsed(why, dict) if why.exists() else {}
    numbers = comparable(values)
    beyond = {key: f"not finite, or beyond {LARGEST:g}" for key in values if values[key] != numbers[key]}
    return Run(
        folder=folder,
        seed=config["seed"],
        config=flatten(OmegaConf.create(config) if "${" in str(config) else config),
        choices=parsed(hydra, dict)["hydra"]["runtime"]["choices"] if hydra.exists() else {},
        overrides=tuple(map(str, parsed(records / "overrides.yaml", list))),
        values=numbers,
        history=history,
        reasons=reasons | beyond,
        began=began(folder),
    )


def parsed(file: Path, kind: type[dict] | type[list]) -> dict | list:
    """What a file of a run holds, YAML or JSON. Raises UserError where it is damaged."""
    found = read_by(json.loads if file.suffix == ".json" else partial(yaml.load, Loader=LOADER), file)
    require(isinstance(found, kind), f"{file.name} holds no {'mapping' if kind is dict else 'list'}")
    return found


def epochs(file: Path) -> list[dict]:
    """The numbers of each epoch, a line of JSON each. Raises UserError where the file is damaged."""
    lines = read_by(lambda text: [json.loads(line) for line in text.splitlines()], file)
    whole = all(isinstance(line, dict) and isinstance(line.get("epoch"), int) for line in lines)
    require(whole, f"{file.name} holds lines that are of no epoch")
    return lines


def read_by(parse: Callable[[str], Any], file: Path) -> Any:
    """parse(the file's text). Raises UserError where it cannot."""
    try:
        return parse(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file.name} cannot be read ({first_line(error)})") from None


def comparable(values: dict) -> dict:
    """The numbers, but null for those that have no mean and no place in a figure."""
    fits = lambda value: not isinstance(value, (int, float)) or abs(value) <= LARGEST
    return {key: value if fits(value) else None for key, value in values.items()}


def began(folder: Path) -> datetime:
    """When a run began: by the name of TensorBoard's file, which outlives copies, else by the time of the summary."""
    times = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*")]
    known = [int(time) for time in times if time.isdecimal()]
    return datetime.fromtimestamp(min(known) if known else (folder / "summary.json").stat().st_mtime)


def listed(given: object) -> list | None:
    """What was given as one value or as several, as a list."""
    return list(given) if OmegaConf.is_list(given) else None if given is None else [given]
