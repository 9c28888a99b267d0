"""The picture of `ssvae verify`: how far each identity is off, and the curves of (3) against (5)."""

import math

from matplotlib.figure import Figure

from ssvae_cli.verify.check import Check
from ssvae_cli.verify.sweep import DIM, INFORMATION, Curve

LABELS = {"eq3": "(3), N negatives and the positive", "infonce": "K-way InfoNCE, K = N + 1", "limit": "leave-one-out"}
LEAST = 1e-18  # drawn for an error of exactly 0


def curves_of_n(curves: list[Curve]) -> Figure:
    """What each estimator reads over N, a panel for each I."""
    made = Figure(figsize=(12, 4), layout="constrained")
    for axis, information in zip(made.subplots(1, len(INFORMATION)), INFORMATION):
        for curve in (c for c in curves if c.information == information):
            axis.errorbar(curve.negatives, curve.values, curve.errors, marker=".", lw=1, label=LABELS[curve.estimator])
        axis.axhline(information, color="0.3", lw=1, ls="--", label=f"I = {information:g}, and (5)")
        axis.plot(curve.negatives, [math.log(n + 1) for n in curve.negatives], color="0.6", lw=1, ls=":", label="log K")
        axis.set(xscale="log", xlabel="N", ylabel="nats", ylim=(0, 2.2 * information + 1))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper right")
    made.suptitle(f"The best critic in {DIM} dimensions: K-way stays below I and log K, leave-one-out bounds nothing")
    return made


def identities(checks: list[Check]) -> Figure:
    """A row a check: how far it is off, before what is allowed."""
    made = Figure(figsize=(12, 1 + 0.19 * len(checks)), layout="constrained")
    axis = made.subplots()
    rows = range(len(checks))[::-1]
    wrong = [max(c.excess, LEAST) if math.isfinite(c.excess) else 1e3 for c in checks]
    axis.barh(rows, [c.tolerance for c in checks], left=LEAST, color="0.9", label="allowed")
    colours = ["tab:green" if c.holds else "tab:red" for c in checks]
    axis.scatter(wrong, rows, c=colours, s=14, zorder=3)
    axis.set_yticks(rows, [f"{c.claim}   {c.equation}" for c in checks], fontsize=7)
    axis.set(
        xscale="log",
        xlim=(LEAST / 2, 1e2),
        ylim=(-1, len(checks)),
        xlabel="nats off the exact value (grey: what is allowed)",
    )
    axis.grid(alpha=0.3, axis="x")
    return made
