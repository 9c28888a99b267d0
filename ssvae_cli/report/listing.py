"""`ssvae runs`: the runs below some folders with their settings, states and key figures."""

import contextlib
import json
import re
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from ssvae_cli.errors import allowed, require, require_bool
from ssvae_cli.paths import expanded
from ssvae_cli.report.runs import Run, as_number, began, listed, once, runs_below
from ssvae_cli.report.unfinished import Unfinished, planned, stored
from ssvae_cli.run_folder import begun_jobs, history
from ssvae_cli.tracking import tables

METRICS = ("elbo/test", "elbo/validation", "probe/linear/test", "probe/linear/validation")
ORDERS = ("began", "folder", "setting", "state", "epoch")  # in ascending order; numbers in descending order
FORMATS = ("table", "json")
OF_THE_CALL = re.compile(r"\+*(hydra\.|(resume|trust|sweep\.\w+)=)")  # overrides that are no part of a setting
TEXT = ("setting", "state", "folder")


@dataclass(frozen=True)
class Entry:
    """A run in the list. setting: as it was started, '' for the defaults. began: in ISO format. Both are None where
    that is unknown. reason: why it has not finished."""

    folder: str
    setting: str | None
    state: str
    began: str | None
    epoch: int
    reason: str
    remedy: str
    values: dict[str, object]

    def number(self, metric: str) -> float | None:
        return as_number(self.values.get(metric))


def list_runs(cfg: DictConfig, folder: Path, choices: dict[str, str]) -> list[Entry]:
    """Print the runs; returns them."""
    require_settings(cfg)
    folders = [Path(expanded(name, "runs")) for name in listed(cfg.runs)]
    entries = [entry(run) for run in once([run for folder in folders for run in runs_below(folder)])]
    read = {name for each in entries for name in each.values if each.number(name) is not None}
    known = read | {name for each in entries for name, value in each.values.items() if value is None}
    metrics = listed(cfg.metrics)
    for metric in metrics or ():
        require(metric in known or not entries, f"metrics: no run has {metric}; {allowed(metric, known)}")
    fits = cfg.sort in ORDERS or cfg.sort in known or not entries
    require(fits, f"sort={cfg.sort}: no run has it; {allowed(cfg.sort, [*ORDERS, *known])}")
    entries = ordered(entries, cfg.sort, reverse=cfg.reverse)
    if cfg.format == "json":
        print(json.dumps([asdict(each) for each in entries], indent=1))
    elif entries:
        show(entries, [metric for metric in METRICS if metric in read] if metrics is None else metrics)
    else:
        print(f"ssvae: no run of ssvae train below {', '.join(map(str, folders))}", file=sys.stderr)
    return entries


def require_settings(cfg: DictConfig) -> None:
    """Raise UserError for settings that no list can have."""
    words = lambda names: bool(names) and all(isinstance(each, str) for each in names)
    require(words(listed(cfg.runs)), f"runs must be a folder or a list of folders, got {cfg.runs}")
    require(cfg.metrics is None or words(listed(cfg.metrics)), f"metrics must be a list of names, got {cfg.metrics}")
    require(cfg.format in FORMATS, f"format={cfg.format}; {allowed(str(cfg.format), FORMATS)}")
    require(isinstance(cfg.sort, str), f"sort must be a name, got {cfg.sort}")
    require_bool(reverse=cfg.reverse)


def entry(run: Run | Unfinished) -> Entry:
    """A run's line; of one that has not finished, as much as its files say."""
    if isinstance(run, Run):
        values, overrides, time = run.values, run.overrides, run.began
        state, reason, remedy, lines = "finished", "", "", run.history
    else:
        lines = history(run.folder)
        values, overrides, time = (lines or [{}])[-1], overrides_of(run.folder), began_or_none(run.folder)
        state, reason, remedy = run.state, run.reason, run.remedy
    setting = None if overrides is None else " ".join(word for word in overrides if not OF_THE_CALL.match(word))
    epoch = lines[-1].get("epoch", 0) if lines else 0
    when = time.isoformat() if time else None
    return Entry(str(run.folder), setting, state, when, epoch, reason, remedy, values)


def overrides_of(folder: Path) -> list[str] | None:
    """What a run was started with; of a job that was refused before it began what its sweep varies; None where neither
    can be read."""
    found = stored(folder / ".hydra" / "overrides.yaml")
    if isinstance(found, list):
        return [str(word) for word in found]
    number = next((job.number for job in begun_jobs(folder.parent) if job.folder == folder.name), None)
    return dict(enumerate(planned(folder.parent))).get(number)


def began_or_none(folder: Path) -> datetime | None:
    with contextlib.suppress(OSError, ValueError):
        return began(folder)
    return None


def ordered(entries: list[Entry], by: str, *, reverse: bool) -> list[Entry]:
    """Sorted; entries that lack what they are sorted by are last."""
    value = (lambda each: getattr(each, by)) if by in ORDERS else (lambda each: each.number(by))
    have = sorted((each for each in entries if value(each) is not None), key=value, reverse=reverse == (by in ORDERS))
    return have + [each for each in entries if value(each) is None]


def show(entries: list[Entry], metrics: list[str]) -> None:
    """The table."""
    rows = []
    for each in entries:
        state = f"{each.state}: {each.reason}" if each.reason else each.state
        when = each.began[:16].replace("T", " ") if each.began else tables.DASH
        numbers = [tables.number(each.number(metric)) for metric in metrics]
        setting = tables.DASH if each.setting is None else each.setting or "defaults"
        rows.append((when, str(each.epoch), *numbers, state, setting, each.folder))
    tables.show(("began", "epoch", *metrics, "state", "setting", "folder"), rows, text=TEXT)
