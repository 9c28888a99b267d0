"""The picture of `ssvae verify`: how far each identity is off, and the curves of (3) against (5)."""

import math

from matplotlib.figure import Figure

from ssvae_cli.verify.check import Check
from ssvae_cli.verify.sweep import DIM, INFORMATION, Curve

LABELS = {
    "eq3": "(3), N negatives and the positive",
    "infonce": "K-way InfoNCE, K = N + 1",
    "leave_one_out": "leave-one-out",
}
LEAST, MOST = 1e-18, 1e2  # drawn for an error of exactly 0; for one beyond, or no number


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
    """A row a check, in two columns: how far it is off, before what is allowed."""
    half = math.ceil(len(checks) / 2)
    made = Figure(figsize=(16, 1 + 0.26 * half), layout="constrained")
    for axis, column in zip(made.subplots(1, 2), (checks[:half], checks[half:])):
        rows = range(half)[::-1][: len(column)]
        wrong = [max(LEAST, min(MOST, c.excess)) for c in column]  # min takes MOST beside NaN
        axis.barh(rows, [c.tolerance for c in column], left=LEAST, color="0.9")
        axis.scatter(
            wrong, rows, c=["tab:green" if c.holds else "tab:red" for c in column], s=25, zorder=3, clip_on=False
        )
        axis.set_yticks(rows, [f"{c.claim}   {c.equation}" for c in column], fontsize=10)
        axis.set(xscale="log", xlim=(LEAST / 2, MOST), ylim=(-1, half))
        axis.grid(alpha=0.3, axis="x")
    made.supxlabel("nats off the exact value (grey: what is allowed)")
    return made
