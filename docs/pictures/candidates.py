"""K-way InfoNCE and leave-one-out with the optimal critic, over the number of candidates.

python docs/pictures/candidates.py
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from ssvae_cli.estimators.infonce import InfoNCE, LeaveOneOut
from ssvae_cli.scores.dense import DenseScores

DIM, CANDIDATES, PAIRS = 20, [2**k for k in range(2, 12)], 8192


def optimal_scores(mi: float, count: int, generator: torch.Generator) -> DenseScores:
    """log Q(z, z') / (Q(z) Q(z')) for all combinations of `count` normal pairs, [count, count]."""
    rho = (-torch.expm1(torch.tensor(-2 * mi / DIM))).sqrt()
    z, noise = torch.randn(2, count, DIM, generator=generator)
    z_prime = rho * z + (1 - rho**2).sqrt() * noise
    squares = (z**2).sum(1)[:, None] + (z_prime**2).sum(1)
    quadratic = (2 * rho * z @ z_prime.T - rho**2 * squares) / (2 * (1 - rho**2))
    return DenseScores(mi + quadratic)


def curve(estimator, mi: float) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.stack([estimator(optimal_scores(mi, n, generator)) for _ in range(PAIRS // n)]).mean().item()
        for n in CANDIDATES
    ]


if __name__ == "__main__":
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axis, mi in zip(figure.subplots(1, 3), (2.0, 6.0, 10.0)):
        for name, estimator, style in (("K-way InfoNCE", InfoNCE(), "o-"), ("leave-one-out", LeaveOneOut(), "s-")):
            values = curve(estimator, mi)
            axis.plot(CANDIDATES, values, style, ms=3, lw=1.2, label=name)
            print(f"I = {mi:g}, N = 64, {name}: {values[CANDIDATES.index(64)]:.1f}")
        axis.plot(CANDIDATES, torch.tensor(CANDIDATES).log(), ":", color="C3", lw=1, label="log N")
        axis.axhline(mi, color="0.3", ls="--", lw=1, label="I")
        axis.set(xscale="log", xlabel="candidates N", title=f"I = {mi:g} nats", ylim=(0, None))
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("nats")
    figure.axes[0].legend(fontsize=7)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130)
