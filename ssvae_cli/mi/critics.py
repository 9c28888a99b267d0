"""I by a critic: scores log f of all pairs, a bound or estimate on them, a critic of its own for each."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.errors import nearest, require
from ssvae_cli.estimators.base import ScoreEstimator
from ssvae_cli.estimators.js import jensen_shannon
from ssvae_cli.mi.data import Pairs, Parts
from ssvae_cli.mi.reading import Reading
from ssvae_cli.mi.training import Curve, Training
from ssvae_cli.priors.mi import MI
from ssvae_cli.scores import DenseScores

CHOOSING = 512  # pairs of validation that are scored, all with all, at each look
# What serves the prior `mi` serves here, but for `queue`: its bank is of an encoder's past.
SERVED = tuple(name for name in MI.served_by if name != "queue")


def refuse_others(names: dict[str, object]) -> None:
    """Raise UserError unless every value is an estimator of I on scores."""
    require(len(names) > 0, f"estimators is empty; {nearest('', SERVED)}")
    for key, estimator in names.items():
        name = getattr(estimator, "name", type(estimator).__name__)
        require(name in SERVED, f"estimators.{key}: {name} does not estimate I from scores; {nearest(name, SERVED)}")


def of_one_width(pairs: Pairs) -> Pairs:
    """The narrower of x and y widened with zeros, which a critic's first layer does not see."""
    widest = max(pairs.x.shape[1], pairs.y.shape[1])
    return Pairs(*(F.pad(side, (0, widest - side.shape[1])) for side in pairs))


def fit_and_read(
    critic: nn.Module, estimator: ScoreEstimator, training: Training, parts: Parts, generator: torch.Generator
) -> tuple[Reading, Curve]:
    """Train `critic` with `estimator`; the value on test, all of whose pairs are candidates.

    A bound is the better the higher it is, so its own value on validation chooses the step. What is no bound gains by
    being wrong, and goes by the Jensen-Shannon objective that trained it.
    """
    train, validation, test = map(of_one_width, (parts.train, parts.validation.rows(slice(CHOOSING)), parts.test))
    network = nn.ModuleList([critic, estimator])
    choose = estimator if estimator.bound == "lower" else jensen_shannon
    curve = training.fit(
        network,
        lambda batch: estimator(DenseScores(critic(batch.x, batch.y))),
        train,
        lambda: choose(DenseScores(score_table(critic, validation))).item(),
        generator,
    )
    with torch.no_grad():
        return Reading.of_table(lambda table: estimator(DenseScores(table)), score_table(critic, test)), curve


def score_table(critic: Callable[[Tensor, Tensor], Tensor], pairs: Pairs) -> Tensor:
    """log f of all x with all y, [B, B], a few rows at a time: a concat critic holds rows x B x width numbers."""
    return torch.cat([critic(x, pairs.y) for x in pairs.x.split(64)])
