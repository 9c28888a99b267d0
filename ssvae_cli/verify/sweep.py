"""(3) against (5) as N grows: what K-way InfoNCE and leave-one-out read with the best critic, in 20 dimensions."""

import math
from dataclasses import dataclass

import torch

from ssvae_cli.estimators.infonce import Eq3, LeaveOneOut
from ssvae_cli.estimators.infonce import InfoNCE as KWay
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.scores.dense import DenseScores
from ssvae_cli.verify.check import Check
from ssvae_cli.verify.normal import Optimal, normal_pairs

DIM = 20
INFORMATION = (2.0, 6.0, 10.0)  # nats
NEGATIVES = (2, 4, 8, 16, 32, 64, 128, 256, 1_000, 10_000, 100_000)
ANCHORS = 16  # a batch, fewer where N is
BATCHES = {100_000: 16, 10_000: 32}  # 128 at a smaller N
ESTIMATORS = (Eq3(), KWay(), LeaveOneOut())


@dataclass(frozen=True)
class Curve:
    """What one estimator reads at every N, and its standard errors, where I is `information`."""

    information: float
    estimator: str
    negatives: tuple[int, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]


@torch.no_grad()
def curves(generator: torch.Generator) -> list[Curve]:
    """A curve for each I and each estimator; every estimator sees the same samples. N counts the negatives."""
    made = []
    for information in INFORMATION:
        read = [_at(information, n, generator) for n in NEGATIVES]
        for k, estimator in enumerate(ESTIMATORS):
            values, errors = zip(*(points[k] for points in read))
            made.append(Curve(information, estimator.name, NEGATIVES, values, errors))
    return made


def _at(information: float, negatives: int, generator: torch.Generator) -> list[tuple[float, float]]:
    """(value, standard error) of every estimator at one N.

    The mean score of the positives has the known expectation I: a control variate, without which a large N would be
    lost in the noise of its few anchors.
    """
    rho, anchors = math.sqrt(-math.expm1(-2 * information / DIM)), min(ANCHORS, negatives + 1)
    critic, rows, positives = Optimal(rho), [], []
    for _ in range(BATCHES.get(negatives, 128)):
        z, z_prime = (side.float() for side in normal_pairs(anchors, DIM, rho, generator))
        others = torch.randn(negatives + 1 - anchors, DIM, generator=generator)
        scores = DenseScores(critic(z, torch.cat([z_prime, others])))
        rows.append(torch.stack([estimator(scores) for estimator in ESTIMATORS]))
        positives.append(scores.mean(scores.positives))
    control = torch.stack(positives) - information
    return [Estimate.of_mean(v - torch.cov(torch.stack([v, control]))[0, 1] / control.var() * control)
            for v in torch.stack(rows, 1)]  # fmt: skip


def checks(read: list[Curve]) -> list[Check]:
    """What the curves have to show."""
    most, made = NEGATIVES[-1], []
    for curve in read:
        i, steps = curve.information, zip(curve.values, curve.values[1:])
        last = {"estimate": curve.values[-1], "error": curve.errors[-1]}
        claim = lambda text: f"I = {i:g}: {text}"  # noqa: B023
        if curve.estimator == "eq3":
            excess = max(v - math.log(n) for v, n in zip(curve.values, NEGATIVES))
            rise = min(after - before for before, after in steps)
            made.append(
                Check("(3)", claim("below log N at every N, the excess"), 0.0, excess, slack=1e-3, relation="<=")
            )
            made.append(
                Check("(3)", claim("rises with N, the least step"), 0.0, rise, max(curve.errors), relation=">=")
            )
            made.append(Check("(3)", claim(f"at most I at N = {most:,}"), i, **last, relation="<="))
            if i == min(INFORMATION):
                made.append(Check("(3) (5)", claim(f"(3) is (5) at N = {most:,}"), i, **last, slack=0.02))
        if curve.estimator == "leave_one_out":
            at = NEGATIVES.index(64)
            over = {"estimate": curve.values[at], "error": curve.errors[at]}
            made.append(Check("(5)", claim("leave-one-out is above (5) at N = 64"), i, **over, relation=">="))
    return made
