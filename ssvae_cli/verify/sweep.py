"""(3) against (5) as N grows: K-way InfoNCE and leave-one-out with the optimal critic, in 20 dimensions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ssvae_cli.estimators import Eq3, InfoNCE, LeaveOneOut
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.scores import DenseScores
from ssvae_cli.verify.check import Check
from ssvae_cli.verify.normal import Optimal, normal_pairs

DIM = 20
INFORMATION = (2.0, 6.0, 10.0)  # nats
NEGATIVES = (2, 4, 8, 16, 32, 64, 128, 256, 1_000, 10_000, 100_000)
ANCHORS = 16  # per batch, at most N + 1
BATCHES = {100_000: 16, 10_000: 32}  # by N; 128 for smaller N
ESTIMATORS = (Eq3(), InfoNCE(), LeaveOneOut())


@dataclass(frozen=True)
class Curve:
    """One estimator's values at every N and their standard errors, where I is `information`."""

    information: float
    estimator: str
    negatives: tuple[int, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]


@torch.no_grad()
def curves(generator: torch.Generator) -> list[Curve]:
    """One curve per I and estimator, all estimators on the same samples. N is the number of negatives."""
    results = []
    for information in INFORMATION:
        by_estimator = zip(*(_at(information, n, generator) for n in NEGATIVES))
        for estimator, points in zip(ESTIMATORS, by_estimator):
            results.append(Curve(information, estimator.name, NEGATIVES, *zip(*points)))
    return results


def _at(information: float, negatives: int, generator: torch.Generator) -> list[Estimate]:
    """The value of every estimator at one N."""
    rho, anchors = math.sqrt(-math.expm1(-2 * information / DIM)), min(ANCHORS, negatives + 1)
    critic, rows, positives = Optimal(rho), [], []
    for _ in range(BATCHES.get(negatives, 128)):
        z, z_prime = (side.float() for side in normal_pairs(anchors, DIM, rho, generator))
        others = torch.randn(negatives + 1 - anchors, DIM, generator=generator)
        scores = DenseScores(critic(z, torch.cat([z_prime, others])))
        rows.append(torch.stack([estimator(scores) for estimator in ESTIMATORS]))
        positives.append(scores.mean(scores.positives))
    # The mean score of the positives has the expectation I: a control variate for the noise of few anchors at large N.
    control = torch.stack(positives) - information
    return [Estimate.of_mean(v - torch.cov(torch.stack([v, control]))[0, 1] / control.var() * control)
            for v in torch.stack(rows, 1)]  # fmt: skip


def checks(curves: list[Curve]) -> Iterator[Check]:
    """What the curves must show."""
    for curve in curves:
        i, values, points = curve.information, curve.values, list(zip(curve.values, curve.errors))
        here, most = f"I = {i:g}:", f"N = {NEGATIVES[-1]:,}"
        if curve.estimator == "eq3":
            excess = max(value - math.log(n) for value, n in zip(values, NEGATIVES))
            rise = min(after - before for before, after in zip(values, values[1:]))
            yield Check("(3)", f"{here} below log N at every N, the excess", 0.0, excess, slack=1e-3, relation="<=")
            yield Check("(3)", f"{here} rises with N, the least step", 0.0, rise, max(curve.errors), relation=">=")
            yield Check("(3)", f"{here} at most I at {most}", i, *points[-1], relation="<=")
            if i == min(INFORMATION):
                yield Check("(3) (5)", f"{here} (3) is (5) at {most}", i, *points[-1], slack=0.02)
        if curve.estimator == "leave_one_out":
            over = points[NEGATIVES.index(64)]
            yield Check("(5)", f"{here} leave-one-out is above (5) at N = 64", i, *over, relation=">=")
