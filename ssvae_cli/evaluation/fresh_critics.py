"""I(z; z') of a trained encoder by critics that training never saw."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssvae_cli.estimators.base import ScoreEstimator
from ssvae_cli.mi.critics import fit_and_read
from ssvae_cli.mi.data import Pairs, Parts, normal_scores
from ssvae_cli.mi.training import Training

MOST = 2048  # pairs of validation and of test: a table of scores grows with their square


def fresh_bounds(
    train: Pairs,
    validation: Pairs,
    test: Pairs,
    *,
    critic: Callable[[int], nn.Module],
    estimators: dict[str, ScoreEstimator],
    training: Training,
    seed: int,
) -> dict[str, float]:
    """`mi/fresh/<name>/test` and its standard error `mi/fresh/<name>/error`, nats; NaN for one that diverged.

    train, validation, test: z and z' [N, D] of pairs of views. Every coordinate is first made normal, which leaves I as
    it is; each estimator trains a critic of its own on train, its step is chosen on validation, and it is read on test,
    all of whose z' are candidates. What it is to I is the estimator's affair; none exceeds log n by right.
    """
    parts = _normal(train, *(p.rows(slice(MOST)) for p in (validation, test)))
    values = {}
    for name, estimator in estimators.items():
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        reading, _ = fit_and_read(critic(train.x.shape[1]), estimator, training, parts, generator)
        failed = reading.failure() is not None
        values[f"mi/fresh/{name}/test"] = float("nan") if failed else reading.value
        values[f"mi/fresh/{name}/error"] = float("nan") if failed else reading.error
    return values


def _normal(train: Pairs, validation: Pairs, test: Pairs) -> Parts:
    rows = torch.arange(len(train.x)).numpy()

    def scores(side: Tensor, known: Tensor) -> Tensor:
        both = torch.cat([known, side]).double().numpy()
        return normal_scores(both, rows)[len(known) :]

    parts = [Pairs(scores(p.x, train.x), scores(p.y, train.y)) for p in (train, validation, test)]
    return Parts(parts[0], *parts)
