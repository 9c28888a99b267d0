"""I by a critic of its own: trained on train, its step chosen on validation, the estimate read on test."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssvae_cli.errors import allowed, require
from ssvae_cli.estimators.base import ScoreEstimator
from ssvae_cli.estimators.nwj import jensen_shannon
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.fit import Curve, Fit
from ssvae_cli.evaluation.samples import Parts
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.scores.dense import DenseScores

CHOOSING = 512  # pairs of validation, scored all with all, at each look


def require_information(estimators: dict[str, object]) -> None:
    """Raise UserError unless every value is an estimator of I on scores, and remembers no encoder's past."""
    shipped = [path.stem for path in (conf() / "estimator").glob("*.yaml")]
    require(len(estimators) > 0, f"estimators is empty; {allowed('', shipped)}")
    for key, estimator in estimators.items():
        of_scores = isinstance(estimator, ScoreEstimator) and "mi" in estimator.estimates
        require(
            of_scores and not estimator.keeps_past,
            f"estimators.{key}: {getattr(estimator, 'name', type(estimator).__name__)} does not estimate I from the "
            "scores of one batch; give one whose `estimates` has mi",
        )


def fit_and_read(
    critic: nn.Module, estimator: ScoreEstimator, fit: Fit, parts: Parts, generator: torch.Generator
) -> tuple[Estimate, Curve]:
    """Train `critic` with `estimator`; the value on test, where every y is a candidate of every x.

    A lower bound is the better the higher it is, so its own value on validation chooses the step. What is no bound
    gains by being wrong, and is chosen by the Jensen-Shannon objective that trains it.
    """
    train, test = parts.train, parts.test
    validation = parts.validation.rows(slice(CHOOSING))
    choose = estimator if estimator.bound == "lower" else jensen_shannon
    curve = fit(
        nn.ModuleList([critic, estimator]),
        lambda batch: estimator(DenseScores(critic(batch.x, batch.y))),
        train,
        lambda: choose(DenseScores(score_table(critic, validation.x, validation.y))).item(),
        generator,
    )
    with torch.no_grad():
        return Estimate.of_table(lambda t: estimator(DenseScores(t)), score_table(critic, test.x, test.y)), curve


def score_table(critic: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """log f of all x with all y, [B, B], a few rows at a time: a concat critic holds rows x B x width numbers."""
    return torch.cat([critic(rows, y) for rows in x.split(64)])
