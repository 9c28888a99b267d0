"""The pictures of `ssvae verify`: the error of each identity, and the curves of (3) against (5)."""

import math
from typing import TYPE_CHECKING

from ssvae_cli.tracking.line_styles import COLOURS, blank
from ssvae_cli.verify.check import Check
from ssvae_cli.verify.sweep import DIM, INFORMATION, Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {"eq3": "(3), N negatives and the positive", "infonce": "K-way InfoNCE, K = N + 1",
          "leave_one_out": "leave-one-out"}  # fmt: skip
LEAST, MOST = 1e-18, 1e2  # limits of a drawn error: 0 is drawn at the lower, NaN at the upper


def curves_of_n(curves: list[Curve]) -> "Figure":
    """Estimates over N, one panel per I."""
    figure = blank(figsize=(12, 4))
    for axis, information in zip(figure.subplots(1, len(INFORMATION)), INFORMATION):
        for curve in (c for c in curves if c.information == information):
            axis.errorbar(curve.negatives, curve.values, curve.errors, marker=".", lw=1, label=LABELS[curve.estimator])
        axis.axhline(information, color="0.3", lw=1, ls="--", label=f"I = {information:g}, and (5)")
        axis.plot(curve.negatives, [math.log(n + 1) for n in curve.negatives], color="0.6", lw=1, ls=":", label="log K")
        axis.set(xscale="log", xlabel="N", ylabel="nats", ylim=(0, 2.2 * information + 1))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper right")
    figure.suptitle(f"The best critic in {DIM} dimensions: K-way stays below I and log K, leave-one-out bounds nothing")
    return figure


def identities(checks: list[Check]) -> "Figure":
    """One row per check, in two columns: its error, in front of the tolerance."""
    half = math.ceil(len(checks) / 2)
    figure = blank(figsize=(16, 1 + 0.26 * half))
    for axis, column in zip(figure.subplots(1, 2), (checks[:half], checks[half:])):
        rows = range(half)[::-1][: len(column)]
        errors = [max(LEAST, min(MOST, c.excess)) for c in column]  # min(MOST, NaN) is MOST
        axis.barh(rows, [c.tolerance for c in column], left=LEAST, color="0.9")
        for holds, marker, colour in ((True, "o", COLOURS[0]), (False, "X", COLOURS[1])):
            shown = [i for i, c in enumerate(column) if c.holds is holds]
            places = ([errors[i] for i in shown], [rows[i] for i in shown])
            axis.scatter(*places, marker=marker, color=colour, s=30, zorder=3, clip_on=False)
        axis.set_yticks(rows, [f"{c.claim}   {c.equation}" for c in column], fontsize=10)
        axis.set(xscale="log", xlim=(LEAST / 2, MOST), ylim=(-1, half))
        axis.grid(alpha=0.3, axis="x")
    figure.supxlabel("error in nats (grey: the tolerance; a cross fails)")
    return figure
