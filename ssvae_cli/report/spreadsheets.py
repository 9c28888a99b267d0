"""The numbers for other programs: table.csv with a row for each setting, runs.csv with one for each run."""

import csv
from collections.abc import Iterable
from pathlib import Path

from ssvae_cli.report.document import Document


def write_settings(path: Path, report: Document) -> None:
    """Means, deviations, standard errors, the number of runs that have a metric, its rank, and why it is missing."""
    parts = ("mean", "deviation", "standard error", "runs", "verdict", "missing")
    tables = [(part.section, table) for part in report.parts for table in part.tables]
    metrics = list(dict.fromkeys(column.metric for _, table in tables for column in table.columns))
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for section, table in tables:
        for i, setting in enumerate(table.settings):
            row = rows.setdefault((section.title, setting.label), {"data": section.dataset, "kind": section.kind})
            row |= {"setting": setting.label, "runs": len(setting.runs)}
            for column, cell in table.row(i):
                e = cell.estimate
                verdict = "best" if cell.is_best else "within noise of the best" if cell.within else ""
                values = (e.mean, e.deviation, e.standard_error, e.count) if e else (None, None, None, 0)
                reasons = "; ".join(table.notes[mark] for mark in filter(None, cell.mark.split(",")))
                row |= {f"{column.metric} {part}": v for part, v in zip(parts, (*values, verdict, reasons))}
    names = ["data", "kind", "setting", "runs", *(f"{metric} {part}" for metric in metrics for part in parts)]
    write(path, names, rows.values())


def write_runs(path: Path, report: Document) -> None:
    """One row for each run, those without a result too."""
    metrics = list(dict.fromkeys(c.metric for part in report.parts for table in part.tables for c in table.columns))
    rows = [
        {"data": part.section.dataset, "kind": part.section.kind, "setting": setting.label, "seed": run.seed}
        | {"state": "finished", "began": run.began.isoformat(), "folder": run.folder}
        | {metric: run.number(metric) for metric in metrics}
        for part in report.parts
        for setting in part.section.settings
        for run in setting.runs
    ]
    rows += [{"state": other.state, "folder": other.folder, "reason": other.reason} for other in report.others]
    write(path, ["data", "kind", "setting", "seed", "state", "began", "folder", *metrics, "reason"], rows)


def write(path: Path, names: list[str], rows: Iterable[dict[str, object]]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
