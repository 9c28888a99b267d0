"""The pictures of `ssvae mi`: learning curves with the estimates, pointwise mutual information, I over lags."""

import math
from typing import TYPE_CHECKING

import torch

from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.components import strength
from ssvae_cli.mi.recommend import Line, Recommended
from ssvae_cli.mi.report import UNITS
from ssvae_cli.tracking.line_styles import COLOURS, blank, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS = 4000  # of a scatter
VALUE, LIMIT, BEST = COLOURS[:3]


def estimates(lines: list[Line], best: Recommended, exact: float | None, unit: str) -> "Figure":
    """Left: validation over training, a dot at the chosen step. Right: the estimates."""
    figure, scale = blank(figsize=(10, 4.2)), UNITS[unit]
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    highs = (e.estimate.value + 2 * e.estimate.error for e in lines if e.failure is None)
    top = scale * max([*highs, exact or 0.0, best.high if math.isfinite(best.high) else 0.0, 0.1])
    bottom = -0.15 * top
    for number, (curve, name) in enumerate((e.reading.curve, e.name) for e in lines if e.reading.curve):
        values = [scale * value for value in curve.values]
        if max(values) < bottom:
            continue  # not of I: the step of an estimate that is no bound is chosen by another objective
        look = style(number)
        left.plot(curve.steps, values, lw=1.2, label=name, color=look["color"], ls=look["linestyle"])
        left.plot(curve.chosen, values[curve.steps.index(curve.chosen)], look["marker"], ms=5, color=look["color"])
    left.set(
        xlabel="step",
        ylabel=f"validation, {unit}",
        title="Learning curves (marker: chosen step)",
        ylim=(bottom, 1.15 * top),
    )
    title = "Estimates"
    for row, e in enumerate(lines):
        if e.failure:
            right.annotate("failed", (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8)
            continue
        value, error = (scale * number for number in e.estimate)
        right.errorbar(value, row, xerr=1.96 * error, fmt="o", ms=4, capsize=3, color=VALUE)
        if scale * e.ceiling < 1.3 * top:
            title = "Estimates (thick bar: ceiling)"
            right.plot([scale * e.ceiling] * 2, [row - 0.35, row + 0.35], color=LIMIT, lw=2.5)
    if math.isfinite(best.low):
        right.axvspan(scale * best.low, min(scale * best.high, 2 * top), color=BEST, alpha=0.25, label="recommended")
    if exact is not None:
        left.axhline(scale * exact, color="0.3", ls="--", lw=1, label="exact")
        right.axvline(scale * exact, color="0.3", ls="--", lw=1, label="exact")
    right.set_yticks(range(len(lines)), [e.name for e in lines])
    right.set(xlabel=unit, title=title, xlim=(-0.1 * top, 1.3 * top))
    right.invert_yaxis()
    named = {label: handle for axis in (left, right) for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(named.values(), named.keys(), fontsize=7, ncols=6, loc="outside lower center")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    return figure


def pointwise(lines: list[Line], pairs: Pairs, unit: str) -> "Figure | None":
    """Left: the pairs in the two coordinates that are linked most, in the colour of their log ratio. Right: how it is
    distributed. Of the last method that has one for each pair; None if there is none."""
    known = [e for e in lines if e.reading.terms is not None and e.failure is None]
    if not known:
        return None
    method, terms = known[-1].name, UNITS[unit] * known[-1].reading.terms
    width = pairs.x.shape[1]
    across = strength(torch.cat(pairs, 1))[:width, width:]
    i, j = divmod(int(across.argmax()), across.shape[1])
    shown = torch.linspace(0, len(terms) - 1, min(len(terms), DOTS)).long()
    extent = terms.abs().quantile(0.99).item() or 1.0
    figure = blank(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    dots = left.scatter(
        pairs.x[shown, i], pairs.y[shown, j], c=terms[shown], s=4, cmap="coolwarm", vmin=-extent, vmax=extent
    )
    figure.colorbar(dots, ax=left, label=f"log p(x, y) / p(x) p(y), {unit}")
    left.set(xlabel=f"x {i}, normal scores", ylabel=f"y {j}, normal scores", title=f"Pointwise, by {method}")
    right.hist(terms.clamp(-2 * extent, 2 * extent).numpy(), bins=60)
    right.axvline(terms.mean().item(), color=LIMIT, lw=1, label=f"mean: {terms.mean():.3f}")
    right.set(xlabel=unit, ylabel="pairs")
    right.legend(fontsize=8)
    return figure


def over_lags(lags: list[int], values: list[Recommended], unit: str) -> "Figure":
    """The recommended value with its interval for each lag."""
    figure, scale = blank(figsize=(8, 4)), UNITS[unit]
    axis = figure.subplots()
    middle = [scale * best.value for best in values]
    axis.plot(lags, middle, "o-", ms=4)
    highs = [scale * (best.high if math.isfinite(best.high) else best.value) for best in values]
    axis.fill_between(lags, [scale * best.low for best in values], highs, alpha=0.25)
    axis.set(xlabel="lag, rows", ylabel=f"I(x at t; y at t + lag), {unit}")
    axis.grid(alpha=0.3)
    return figure
