"""The results of `ssvae mi`: summary.json, the table, the figure."""

import math

from matplotlib.figure import Figure

from ssvae_cli.evaluation.fit import Curve
from ssvae_cli.mi.recommend import Line, Recommended
from ssvae_cli.mi.tasks import Sample
from ssvae_cli.tracking.missing import DASH, plain
from ssvae_cli.tracking.tables import number, output, show


def summary(lines: list[Line], best: Recommended, sample: Sample) -> dict:
    """Flat, as JSON; null for an estimate that failed and for what does not apply."""
    values = {"mi/recommended": best.value, "mi/recommended/low": best.low, "mi/recommended/high": best.high}
    values["mi/recommended/why"] = best.why
    for e in lines:
        values |= {
            f"mi/{e.name}/test": None if e.failure else e.estimate.value,
            f"mi/{e.name}/error": None if e.failure else e.estimate.error,
            f"mi/{e.name}/failure": e.failure,
            f"mi/{e.name}/ceiling": e.ceiling,
            f"mi/{e.name}/relation": e.relation,
            f"mi/{e.name}/step": e.step,
            f"mi/{e.name}/shuffled": e.shuffled and e.shuffled.value,
            f"mi/{e.name}/shuffled_error": e.shuffled and e.shuffled.error,
        }
    values |= {"data/exact": sample.exact, "data/pairs": len(sample.x)}
    return {key: plain(value) for key, value in values.items()}


def table(lines: list[Line], best: Recommended, exact: float | None) -> None:
    """The lines and the recommended value, on standard output."""
    rows = []
    for e in lines:
        value, error = (DASH, "") if e.failure else (number(part, 3) for part in e.estimate)
        ceiling = f"{e.ceiling:.2f}" if e.ceiling < math.inf else ""
        shuffled = number(plain(e.shuffled.value), 3) if e.shuffled else ""
        step = "" if e.step is None else str(e.step)
        rows.append((e.name, value, error, e.relation, ceiling, step, shuffled, e.note()))
    headings = ("estimator", "I, nats", "+-", "relation to I", "ceiling", "step", "shuffled", "note")
    show(headings, rows, text=("relation to I", "note"))
    console = output()
    recommended = f"{best.value:.3f} nats, 95% interval {best.low:.3f} to {best.high:.3f}"
    console.print(f"\nrecommended: {'nothing' if math.isnan(best.value) else recommended}")
    console.print(f"why: {best.why}")
    if exact is not None:
        console.print(f"exact: {exact:.3f} nats")


def curves(lines: list[Line], learned: dict[str, Curve], best: Recommended, exact: float | None) -> Figure:
    """Left: validation over training, a dot at the chosen step. Right: the estimates on test."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    highs = (e.estimate.value + 2 * e.estimate.error for e in lines if e.failure is None)
    top = max([*highs, exact or 0.0, best.high, 0.1])
    bottom = -0.15 * top
    for name, curve in learned.items():
        if max(curve.values) < bottom:
            continue  # not in nats of I: the step of an estimate that is no bound is chosen by another objective
        (line,) = left.plot(curve.steps, curve.values, lw=1.2, label=name)
        left.plot(curve.chosen, curve.values[curve.steps.index(curve.chosen)], "o", ms=4, color=line.get_color())
    left.set(xlabel="step", ylabel="validation, nats", title="Learning curves", ylim=(bottom, 1.15 * top))
    for row, e in enumerate(lines):
        if e.failure:
            right.annotate("failed", (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8)
            continue
        right.errorbar(e.estimate.value, row, xerr=1.96 * e.estimate.error, fmt="o", ms=4, capsize=3, color="C0")
        if e.ceiling < 1.3 * top:
            right.plot([e.ceiling] * 2, [row - 0.35, row + 0.35], color="C3", lw=2)
    if not math.isnan(best.value):
        right.axvspan(best.low, best.high, color="C2", alpha=0.25, label="recommended")
    if exact is not None:
        left.axhline(exact, color="0.3", ls="--", lw=1, label="exact")
        right.axvline(exact, color="0.3", ls="--", lw=1, label="exact")
    right.set_yticks(range(len(lines)), [e.name for e in lines])
    right.set(xlabel="nats", title="Estimates on test (red: ceiling)", xlim=(-0.1 * top, 1.3 * top))
    right.invert_yaxis()
    named = {label: handle for axis in (left, right) for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(named.values(), named.keys(), fontsize=7, ncols=6, loc="outside lower center")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    return figure
