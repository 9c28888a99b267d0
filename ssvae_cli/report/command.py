"""`ssvae report`: runs as tables over seeds and figures, in Markdown, LaTeX, CSV and one HTML page."""

import logging
import math
from pathlib import Path

from omegaconf import DictConfig

from ssvae_cli.errors import UserError, allowed, counted, in_yaml, require, require_number
from ssvae_cli.files import atomic_write, write_text
from ssvae_cli.paths import expanded
from ssvae_cli.report import spreadsheets
from ssvae_cli.report.comparison import SPREADS
from ssvae_cli.report.document import Document, Part
from ssvae_cli.report.facts import facts, runs_of, shared_config
from ssvae_cli.report.figures import pictures, slug
from ssvae_cli.report.latex import latex
from ssvae_cli.report.markdown import markdown
from ssvae_cli.report.page import page
from ssvae_cli.report.runs import Run, find_runs, listed
from ssvae_cli.report.settings import Section, newest_of_each_seed, sections_of
from ssvae_cli.report.tables import HIGHEST, LOWEST, Table, main_table, prior_table
from ssvae_cli.report.terminal import show_report
from ssvae_cli.tracking.missing import UNREAD
from ssvae_cli.tracking.names import GROUPS, UNITLESS, UNITS, beginnings, is_own

log = logging.getLogger(__name__)

# What is shown where nothing is asked for: of each the first that some run has.
COLUMNS = (
    ("elbo/test", "elbo/validation"),
    ("mi/infonce/test", "mi/infonce/validation"),
    ("kl/test",),
    ("probe/linear/test", "probe/linear/validation"),
    ("probe/knn/test", "probe/knn/validation"),
    ("clusters/accuracy/test",),
    ("factors/r2_z/test",),
    ("factors/mcc/test",),
    ("time/train_s",),
)
MAIN = ("elbo", "probe")  # groups of metrics that are drawn
CURVES = ("elbo/validation", "probe/linear/validation")


def report(cfg: DictConfig, folder: Path, choices: dict[str, str]) -> list[Section]:
    """Print the tables and write the report into `folder`; returns the sections."""
    require_settings(cfg)
    found, others = find_runs([Path(expanded(name, "runs")) for name in listed(cfg.runs)])
    runs, repeated = newest_of_each_seed(found)
    require_ends(cfg, runs)
    metrics, curves = columns(listed(cfg.metrics), runs), drawn(listed(cfg.curves), runs)
    sections, parts = sections_of(runs), []
    for section in sections:
        tables = tables_of(section, metrics, cfg)
        name = slug(section.title)
        name += f"-{len(parts)}" * any(part.name == name for part in parts)
        shown = [column.metric for column in tables[0].columns]
        main = [next((m for m in shown if m.split("/")[0] == group), None) for group in MAIN]
        figures = pictures(section, name, curves, [m for m in main if m], cfg.spread)
        parts.append(Part(name, section, tables, tuple(figures)))
    others += repeated
    shared = shared_config(runs_of(sections))
    document = Document(folder, facts(sections, others), parts, others, shared, cfg.spread, cfg.confidence)
    write(document, cfg.pictures_mb)
    show_report(document)
    count = sum(len(section.settings) for section in sections)
    log.info("%s, %s: %s", counted(len(runs), "run"), counted(count, "setting"), folder / "report.html")
    return sections


def require_settings(cfg: DictConfig) -> None:
    """Raise UserError for settings that no report can have."""
    for name in ("runs", "metrics", "curves", "highest", "lowest"):
        what = "a folder or a list of folders" if name == "runs" else "a list of names"
        names, optional = listed(cfg[name]), name in ("metrics", "curves")
        valid = optional if names is None else all(isinstance(each, str) for each in names)
        require(valid and (names != [] or name != "runs"), f"{name} must be {what}, got {in_yaml(cfg[name])}")
    for metric in set(listed(cfg.highest)) & set(listed(cfg.lowest)):
        raise UserError(f"{metric} is in highest and in lowest; leave it in one")
    require(cfg.spread in SPREADS, f"spread={cfg.spread}; {allowed(str(cfg.spread), SPREADS)}")
    require_number(0.5, 0.999999, confidence=cfg.confidence)
    require_number(0, math.inf, pictures_mb=cfg.pictures_mb)


def columns(asked: list[str] | None, runs: list[Run]) -> list[str]:
    """The metrics of the tables, those of a user's own last. Raises UserError for one that no run has."""
    known = {key for run in runs for key in run.values}
    for metric in asked or ():
        require(metric in known, f"metrics: no run has {metric}; {allowed(metric, known)}")
    usual = [next((metric for metric in names if is_known(metric, runs)), None) for names in COLUMNS]
    metrics = asked if asked is not None else [metric for metric in usual if metric]
    return [*metrics, *(key for key in sorted(known) if is_own(key) and key not in metrics)]


def require_ends(cfg: DictConfig, runs: list[Run]) -> None:
    """Raise UserError for a name in highest or lowest that is no metric of a run, nor a group of metrics."""
    of_runs = {beginning for run in runs for key in run.values for beginning in beginnings(key)}
    known = of_runs | GROUPS | {*UNITS, *UNITLESS}
    for name in ("highest", "lowest"):
        for metric in listed(cfg[name]):
            require(metric in known, f"{name}: no run has {metric}; {allowed(metric, known)}")


def is_known(metric: str, runs: list[Run]) -> bool:
    """Whether some run has read a metric, with a number or a reason why there is none."""
    reason = lambda run: run.reasons.get(metric, UNREAD.reason)
    return any(run.number(metric) is not None or reason(run) != UNREAD.reason for run in runs)


def drawn(asked: list[str] | None, runs: list[Run]) -> list[str]:
    """The metrics that are drawn over the epochs. Raises UserError for one that no run has."""
    known = {key for run in runs for line in run.history for key in line}
    for metric in asked or ():
        require(metric in known, f"curves: no run has {metric}; {allowed(metric, known)}")
    return list(CURVES) if asked is None else asked


def tables_of(section: Section, metrics: list[str], cfg: DictConfig) -> tuple[Table, ...]:
    """The table of metrics, of which those that were not asked for may be missing, and that of learned priors."""
    asked = set(listed(cfg.metrics) or ())
    shown = [metric for metric in metrics if metric in asked or is_known(metric, section.runs)]
    ends = dict.fromkeys(listed(cfg.highest), HIGHEST) | dict.fromkeys(listed(cfg.lowest), LOWEST)
    main = main_table(section, shown, spread=cfg.spread, confidence=cfg.confidence, ends=ends)
    learned = prior_table(section, cfg.spread)
    return (main, learned) if learned else (main,)


def write(document: Document, pictures_mb: float) -> None:
    """All files of a report."""
    folder = document.folder
    drawn = [picture for part in document.parts for picture in part.pictures]
    svgs = {picture.name: picture.write(folder / "figures") for picture in drawn}
    write_text(folder / "report.html", page(document, svgs, pictures_mb))
    write_text(folder / "report.md", markdown(document))
    write_text(folder / "tables.tex", latex(document))
    atomic_write(folder / "table.csv", lambda path: spreadsheets.write_settings(path, document))
    atomic_write(folder / "runs.csv", lambda path: spreadsheets.write_runs(path, document))
