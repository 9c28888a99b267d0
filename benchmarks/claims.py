"""A claim's picture and table: one metric of finished runs, by two settings, each seed a point.

    python benchmarks/claims.py DIR... --metric factors/mcc/test --across dataset/law --by prior --out prior_wins.svg

The table, mean and standard deviation over seeds, is printed in Markdown. --curve NAME: the picture is of that metric
of metrics.jsonl over epochs instead, a field for each setting of --across. --truth NAME: summary.json's value as a
line. --least: where the axis of values begins. --pick: how often, of the runs of one law and
one seed, that of the law's own prior has the largest value, with Wilson's interval of 95%; of the choices that are
named. --rank OTHER: how alike the two metrics rank the choices of --by, or those of --among: Spearman's correlation of
their means over seeds, with an interval of 95% by drawing choices and seeds again, for each setting of --across; the
picture has one metric on each axis. --by may be several settings, divided by commas."""

import argparse
import math
import random
from collections import defaultdict
from pathlib import Path
from statistics import fmean, quantiles, stdev

from matplotlib import rcParams
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from ssvae_cli.report.runs import find_runs
from ssvae_cli.tracking.line_styles import nested_widths, style

WIDEST = 10.5  # inches, of a picture whose labels can be read on a page


def setting(run, keys: str) -> str:
    """A run's choice in a group, or the value of a key; of several, divided by commas, one word each."""
    return " ".join(str(run.choices[key] if key in run.choices else run.config[key]) for key in keys.split(","))


def settings(runs: list, key: str) -> list[str]:
    """All settings of a key: numbers by size, words by the alphabet."""
    found = {setting(run, key) for run in runs}
    numbers = all(each.replace(".", "", 1).isdigit() for each in found)
    return sorted(found, key=float if numbers else None)


def picture(values: dict, rows: list[str], columns: list[str], metric: str, across: str) -> Figure:
    """A group of points for each row, one marker for each column, a point for each seed, a line for the mean. Groups
    that would make the picture wider than a page are in several lines."""
    wide = max(1.5, 0.4 * len(columns))
    lines = math.ceil(len(rows) / max(1, int((WIDEST - 1.6) / wide)))
    groups = math.ceil(len(rows) / lines)
    figure = Figure(figsize=(1.6 + wide * groups, 3.6 if lines == 1 else 2.6 * lines), layout="constrained")
    axes, width = figure.subplots(lines, sharey=True, squeeze=False)[:, 0], 0.8 / len(columns)
    for j, column in enumerate(columns):
        look = {"color": style(j)["color"], "marker": style(j)["marker"]}
        for i, row in enumerate(rows):
            axis, place = axes[i // groups], i % groups + (j - (len(columns) - 1) / 2) * width
            seeds = values.get((row, column), [])
            axis.plot([place] * len(seeds), seeds, ls="none", ms=4, alpha=0.8, label=column if i == 0 else None, **look)
            if seeds:
                axis.hlines(fmean(seeds), place - width / 2.5, place + width / 2.5, color=look["color"], lw=1.5)
    for axis, i in zip(axes, range(0, len(rows), groups)):
        axis.set(xticks=range(len(rows[i : i + groups])), xticklabels=rows[i : i + groups], ylabel=metric)
        axis.set_xlim(-0.5, groups - 0.5)
        axis.grid(axis="y", alpha=0.3)
    axes[-1].set_xlabel(across)
    axes[0].legend(title="trained with", fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def curves(runs: list, across: str, by: str, name: str, truth: str | None, least: float | None) -> Figure:
    """The metric over epochs: a field for each setting of `across`, a colour for each of `by`, a line a seed, nested
    where they coincide; from `least` on."""
    fields, colours = (settings(runs, key) for key in (across, by))
    figure = Figure(figsize=(1.6 + 3.2 * len(fields), 3.2), layout="constrained")
    axes = figure.subplots(1, len(fields), sharey=True, squeeze=False)[0]
    for axis, field in zip(axes, fields):
        of_field = [run for run in runs if setting(run, across) == field]
        for number, (colour, width) in enumerate(zip(colours, nested_widths(len(colours)))):
            of_colour = [run for run in of_field if setting(run, by) == colour]
            for seed, run in enumerate(of_colour):
                points = [(row["epoch"], row[name]) for row in run.history if row.get(name) is not None]
                look = {"color": style(number)["color"], "marker": style(number)["marker"], "markevery": 4}
                axis.plot(*zip(*points), lw=width, ms=width + 3, label=colour if seed == 0 else None, **look)
        if truth and (known := [run.number(truth) for run in of_field if run.number(truth) is not None]):
            axis.axhline(fmean(known), color="black", ls="--", lw=1, label=truth)
        axis.set(xlabel="epoch", title=field if len(fields) > 1 else None)
        axis.set_ylim(bottom=least)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(name)
    axes[-1].legend(title=by, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def plane(pairs: dict[str, dict[str, list[tuple[float, float]]]], metrics: tuple[str, str], by: str) -> Figure:
    """Two metrics against each other: a field for each setting, a marker for each choice, a point for each seed."""
    figure = Figure(figsize=(1.6 + 3.4 * len(pairs), 3.4), layout="constrained")
    axes = figure.subplots(1, len(pairs), squeeze=False)[0]
    choices = sorted({choice for of in pairs.values() for choice in of})
    for axis, (field, of_choices) in zip(axes, pairs.items()):
        for number, choice in enumerate(choices):
            look = {"color": style(number)["color"], "marker": style(number)["marker"]}
            axis.plot(*zip(*of_choices[choice]), ls="none", ms=4, alpha=0.8, label=choice, **look)
        axis.set(xlabel=metrics[0], title=field if len(pairs) > 1 else None)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(metrics[1])
    axes[-1].legend(title=by, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The interval of 95% of a share."""
    z, share = 1.96, hits / of
    centre, spread = share + z * z / (2 * of), z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (centre - spread) / (1 + z * z / of), (centre + spread) / (1 + z * z / of)


def rank(values: dict[str, list[tuple[float, float]]], draws: int = 2000) -> str:
    """Spearman's correlation of two metrics over choices, each a list of seeds' pairs, with its interval of 95%; in
    words where there is none, of fewer than three choices or of a metric that is the same for all."""

    def correlation(chosen: list[list[tuple[float, float]]]) -> float:
        return spearmanr(*zip(*([fmean(side) for side in zip(*seeds)] for seeds in chosen))).statistic

    draw, seeds = random.Random(0), list(values.values())
    chosen = f"{len(seeds)} choices: {', '.join(values)}"
    if len(seeds) < 3 or any(len({fmean(side) for side in metric}) < 2 for metric in zip(*(zip(*of) for of in seeds))):
        return f"not known, {chosen}"
    again = [
        correlation([draw.choices(of, k=len(of)) for of in draw.choices(seeds, k=len(seeds))]) for _ in range(draws)
    ]
    ends = quantiles([each for each in again if not math.isnan(each)], n=40)  # NaN where one choice was drawn alone
    return f"{correlation(seeds):.2f} ({ends[0]:.2f} to {ends[-1]:.2f}), {chosen}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--metric", required=True)
    parser.add_argument("--across", required=True)
    parser.add_argument("--by", required=True)
    parser.add_argument("--pick", nargs="*", default=[])
    parser.add_argument("--rank")
    parser.add_argument("--among", nargs="*", default=[])
    parser.add_argument("--curve")
    parser.add_argument("--truth")
    parser.add_argument("--least", type=float)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    runs, _ = find_runs(given.folders)
    values, by_seed = defaultdict(list), defaultdict(dict)
    pairs = defaultdict(lambda: defaultdict(list))
    for run in runs:
        row, column, value = setting(run, given.across), setting(run, given.by), run.number(given.metric)
        if value is not None:
            values[row, column].append(value)
            by_seed[row, run.seed][column] = value
            other = run.number(given.rank) if given.rank else None
            if other is not None and column in (given.among or [column]):
                pairs[row][column].append((value, other))
    rows, columns = (settings(runs, key) for key in (given.across, given.by))
    columns.sort(key=lambda column: column not in rows)  # those of the laws first

    print(f"| {given.metric} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row in rows:
        cells = []
        for column in columns:
            seeds = values.get((row, column), [])
            spread = f" ± {stdev(seeds):.3f}" if len(seeds) > 1 else ""
            cells.append(f"{fmean(seeds):.3f}{spread}" if seeds else "–")
        print(f"| {row} | {' | '.join(cells)} |")
    if given.pick:
        of = [
            (row, found) for (row, _), found in by_seed.items() if row in given.pick and set(given.pick) <= set(found)
        ]
        hits = sum(max(given.pick, key=found.get) == row for row, found in of)
        share = "" if not of else " ({:.2f} to {:.2f})".format(*wilson(hits, len(of)))
        print(f"\nthe largest is that of the own law in {hits} of {len(of)}{share}")
    for row, of in pairs.items():
        print(f"\n{row}: Spearman's correlation of {given.metric} and {given.rank} is {rank(of)}")
    if given.out:
        rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = "none", "claims"
        drawn = picture(values, rows, columns, given.metric, given.across)
        if given.rank:
            drawn = plane(pairs, (given.metric, given.rank), given.by)
        if given.curve:
            drawn = curves(runs, given.across, given.by, given.curve, given.truth, given.least)
        drawn.savefig(given.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
