"""`ssvae report`: finished runs as a table over seeds, plots, and one self-contained HTML file."""

import base64
import csv
import html
import io
import json
import logging
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.scale import SymmetricalLogScale
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.errors import allowed, require
from ssvae_cli.paths import expanded, shell_command, typed
from ssvae_cli.run_folder import flatten
from ssvae_cli.tracking.missing import DASH, REASONS
from ssvae_cli.tracking.names import is_own
from ssvae_cli.tracking.tables import output, show

log = logging.getLogger(__name__)
CURVES = ("elbo/validation", "probe/linear/validation")
AGAINST = ("elbo/test", "probe/linear/test")
TITLES = {False: "SSVAEs", True: "Ordinary VAEs: their ELBO keeps log P(x), and must not be ranked against an SSVAE's"}
WIDE = 20.0  # nats between means above which an axis is logarithmic
IGNORED = ("seed", "resume", "sweep.resume", "trust", "trainer.device")  # keys in which runs of one group may differ


@dataclass(frozen=True)
class Run:
    """One finished run, read from its folder."""

    folder: Path
    config: dict[str, object]  # dotted keys
    overrides: tuple[str, ...]
    summary: dict[str, object]
    history: list[dict]
    reasons: dict[str, str]  # why numbers of the summary are null

    @property
    def setting(self) -> str:
        """The configuration without IGNORED, such as the seed: runs with the same one are averaged."""
        return json.dumps({k: v for k, v in self.config.items() if k not in IGNORED}, default=str)

    @property
    def is_ordinary_vae(self) -> bool:
        return any(key.startswith("decoder.") for key in self.config)


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed."""

    label: str
    runs: list[Run]

    def of(self, metric: str) -> tuple[float, float | None] | None:
        """(mean, standard deviation over seeds) of a metric of summary.json; None if no run has it."""
        return mean_and_deviation(r.summary.get(metric) for r in self.runs)

    def curve(self, metric: str) -> list[tuple[int, float, float]]:
        """(epoch, mean, deviation) of a metric of metrics.jsonl."""
        epochs: dict[int, list[float]] = {}
        for line in (line for r in self.runs for line in r.history):
            epochs.setdefault(line["epoch"], []).append(line.get(metric))
        points = ((epoch, mean_and_deviation(values)) for epoch, values in sorted(epochs.items()))
        return [(epoch, value[0], value[1] or 0.0) for epoch, value in points if value]


def report(cfg: DictConfig, folder: Path, choices: dict[str, str]) -> list[Group]:
    """Print the table and write report.html and table.csv into `folder`; returns the groups, one per row."""
    folders = [cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs)
    wrong = f"runs must be a folder or a list of folders, got {cfg.runs}"
    require(folders != [] and all(isinstance(name, str) for name in folders), wrong)
    runs = [run for name in folders for run in find_runs(Path(expanded(name, "runs")))]
    known = sorted({key for run in runs for key in run.summary})
    for metric in cfg.metrics:
        require(metric in known, f"metrics: no run has {metric}; {allowed(metric, known)}")
    metrics = [*cfg.metrics, *(key for key in known if is_own(key) and key not in cfg.metrics)]
    groups = grouped(runs)
    kinds = {title: [g for g in groups if g.runs[0].is_ordinary_vae == vae] for vae, title in TITLES.items()}
    kinds = {title: rows for title, rows in kinds.items() if rows}
    for title, rows in kinds.items():
        show(("setting", "runs", *metrics), rows_of(rows, metrics), title=title if len(kinds) > 1 else "")
    output().print("mean ± standard deviation over seeds")
    for line in missing_lines(groups, metrics):
        output().print(line, markup=False)
    write_csv(folder / "table.csv", groups, metrics)
    (folder / "report.html").write_text(html_page(kinds, metrics, folders))
    log.info("%d runs, %d settings: %s", len(runs), len(groups), folder / "report.html")
    return groups


def find_runs(folder: Path) -> list[Run]:
    """All finished runs at or below a folder; unfinished ones are logged. Raises UserError if none is finished."""
    require(folder.is_dir(), f"runs={folder}: no such folder; give the folder of a run or of a sweep")
    started = sorted(path.parent for path in folder.rglob("metrics.jsonl"))
    finished = [run for run in started if (run / "summary.json").exists()]
    for stopped in (run for run in started if run not in finished):
        resume = shell_command("ssvae", "train", f"resume={typed(stopped)}")
        log.warning("%s is not finished, and left out; %s continues it", stopped, resume)
    require(finished != [], f"runs={folder}: no finished run of ssvae train below it")
    return [read(run) for run in finished]


def read(folder: Path) -> Run:
    """A finished run from its folder."""
    return Run(
        folder=folder,
        config=flatten(OmegaConf.load(folder / ".hydra" / "config.yaml")),
        overrides=tuple(OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))),
        summary=json.loads((folder / "summary.json").read_text()),
        history=[json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()],
        reasons=json.loads(why.read_text()) if (why := folder / REASONS).exists() else {},
    )


def grouped(runs: list[Run]) -> list[Group]:
    """Groups of runs that differ only in the seed, labelled by the overrides that not all runs share."""
    settings: dict[str, list[Run]] = {}
    for run in runs:
        settings.setdefault(run.setting, []).append(run)
    shared = set.intersection(*(set(run.overrides) for run in runs))
    groups: dict[str, Group] = {}
    for members in settings.values():
        last = {o.split("=")[0]: o for o in members[0].overrides}  # the last override of a key is the effective one
        label = " ".join(o for key, o in last.items() if o not in shared and key not in IGNORED) or "default"
        label = label if label not in groups else f"{label} ({members[0].folder})"
        groups[label] = Group(label, members)
    return list(groups.values())


def mean_and_deviation(values: Iterable[float | None]) -> tuple[float, float | None] | None:
    """(mean, sample standard deviation), the deviation None for a single value; None if there is no value."""
    numbers = [float(v) for v in values if isinstance(v, (int, float))]
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    return (statistics.fmean(numbers), deviation) if numbers else None


def cell(value: tuple[float, float | None] | None) -> str:
    """'0.9733 ± 0.0052'."""
    if value is None:
        return DASH
    digits = 4 if abs(value[0]) < 10 else 1
    return " ± ".join(f"{number:.{digits}f}" for number in value if number is not None)


def rows_of(groups: list[Group], metrics: list[str]) -> list[list[str]]:
    """The table's rows as text: setting, number of runs, then the metrics."""
    return [[g.label, str(len(g.runs)), *(cell(g.of(m)) for m in metrics)] for g in groups]


def missing_lines(groups: list[Group], metrics: list[str]) -> list[str]:
    """A line for each reason why runs of a setting lack numbers of the table."""
    total = {g.label: len(g.runs) for g in groups}
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for g in groups:
        for metric in metrics:
            for reason, count in Counter(r.reasons[metric] for r in g.runs if metric in r.reasons).items():
                found.setdefault((g.label, reason), []).append((metric, count))
    said = lambda label, counts: ", ".join(f"{metric} in {count} of {total[label]} runs" for metric, count in counts)
    return [f"{DASH} {label}: {said(label, counts)}: {reason}" for (label, reason), counts in found.items()]


def write_csv(path: Path, groups: list[Group], metrics: list[str]) -> None:
    """Means and deviations as numbers, for other programs."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["setting", "runs", *(f"{m} {part}" for m in metrics for part in ("mean", "deviation"))])
        for g in groups:
            writer.writerow([g.label, len(g.runs), *(x for m in metrics for x in g.of(m) or (None, None))])


def pictures(groups: list[Group]) -> Iterable[tuple[str, Figure]]:
    """(title, figure): curves over the epochs with a band of one deviation, and the probe against the ELBO."""
    for metric in CURVES:
        lines = [(g.label, g.curve(metric)) for g in groups if g.curve(metric)]
        if not lines:
            continue
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axis = figure.subplots()
        for label, points in lines:
            epochs, means, deviations = zip(*points)
            (line,) = axis.plot(epochs, means, label=label, marker="." if len(points) < 12 else None)
            low, high = ([m + s * d for m, d in zip(means, deviations)] for s in (-1, 1))
            axis.fill_between(epochs, low, high, alpha=0.2, color=line.get_color(), lw=0)
        axis.set(xlabel="epoch", ylabel="nats" if metric.startswith("elbo") else "accuracy")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        spread_out(axis.yaxis, [mean for _, points in lines for _, mean, _ in points])
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
        yield f"{metric} over the epochs", figure
    points = [(g.label, *(g.of(m) for m in AGAINST)) for g in groups]
    points = [p for p in points if None not in p]
    if len(points) > 1:
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axis = figure.subplots()
        for label, (x, dx), (y, dy) in points:
            axis.errorbar(x, y, xerr=dx, yerr=dy, fmt="o", capsize=2, label=label)
        axis.set(xlabel=f"{AGAINST[0]}, nats", ylabel=AGAINST[1])
        spread_out(axis.xaxis, [x for _, (x, _), _ in points])
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
        yield " against ".join(reversed(AGAINST)), figure


def spread_out(axis, values: list[float]) -> None:
    """A symmetric logarithmic scale, if one prior's ELBO is far from the others'."""
    if values and max(values) - min(values) > WIDE:
        axis.axes.set(**{f"{axis.axis_name}scale": SymmetricalLogScale(axis, linthresh=1, subs=[2, 5])})
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(ScalarFormatter())


STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}
th,td{padding:.3rem .7rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}img{max-width:100%}code{background:#f4f4f4;padding:0 .2rem}"""


def html_page(kinds: dict[str, list[Group]], metrics: list[str], folders: list[str]) -> str:
    """One page with the tables and pictures of each kind; everything that came from a run is escaped."""
    parts = [f"<!doctype html><html lang='en'><meta charset='utf-8'><title>ssvae report</title><style>{STYLE}</style>"]
    parts.append(f"<h1>ssvae report</h1><p>Runs below {', '.join(f'<code>{html.escape(f)}</code>' for f in folders)}. ")
    parts.append("Mean ± standard deviation over seeds; ELBO, MI and KL in nats; – where a number does not apply.</p>")
    for title, groups in kinds.items():
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr>")
        parts += [f"<th>{html.escape(name)}</th>" for name in ("setting", "runs", *metrics)]
        for row in rows_of(groups, metrics):
            parts.append("</tr><tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row))
        parts.append("</tr></table>")
        parts += [f"<p>{html.escape(line)}</p>" for line in missing_lines(groups, metrics)]
        parts += [f"<h3>{html.escape(name)}</h3>{png(figure)}" for name, figure in pictures(groups)]
        runs = [(html.escape(g.label), html.escape(str(r.folder))) for g in groups for r in g.runs]
        items = "".join(f"<li>{label}: <code>{folder}</code></li>" for label, folder in runs)
        parts.append(f"<details><summary>Folders</summary><ul>{items}</ul></details>")
    return "".join(parts) + "</html>\n"


def png(figure: Figure) -> str:
    """A figure as an <img> with its bytes inline."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, format="png")
    return f"<img alt='' src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
