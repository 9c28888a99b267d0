"""I by a fresh critic: trained on train, its step chosen on validation, the estimate read on test."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import evenly_spaced
from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.errors import allowed, require
from ssvae_cli.estimators import InfoNCE as KWay
from ssvae_cli.estimators import ScoreEstimator
from ssvae_cli.estimators.base import require_gradient
from ssvae_cli.estimators.nwj import jensen_shannon
from ssvae_cli.evaluation.degeneracy import constant_latent
from ssvae_cli.evaluation.estimate import Estimate, too_few_pairs
from ssvae_cli.evaluation.fit import Curve, Fit
from ssvae_cli.evaluation.rows import drawn
from ssvae_cli.evaluation.samples import Pairs, Parts, normalised
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.scores import DenseScores
from ssvae_cli.tracking.missing import Missing

Latents = tuple[Tensor, Tensor]
CHOOSING = 512  # validation pairs, all scored with all, by which the step is chosen


def require_information(estimators: dict[str, object]) -> None:
    """Raise UserError unless every value estimates I from scores, without latents of earlier batches.

    Each is tried on a small table: what a user's own raises shows before anything is fitted."""
    shipped = [path.stem for path in (conf() / "estimator").glob("*.yaml")]
    require(len(estimators) > 0, f"estimators is empty; {allowed('', shipped)}")
    for key, estimator in estimators.items():
        valid = isinstance(estimator, ScoreEstimator) and "mi" in estimator.estimates and not estimator.keeps_past
        name = getattr(estimator, "name", type(estimator).__name__)
        wrong = f"estimators.{key}: {name} does not estimate I from the scores of one batch"
        require(valid, f"{wrong}; give one whose `estimates` has mi")
        with own_stream(0, torch.device("cpu")):
            require_gradient(estimator, copy.deepcopy(estimator)(DenseScores(torch.eye(8, requires_grad=True))))


def further_views(latents: tuple[Tensor, ...]) -> Missing | None:
    """Why neither I nor the KL is read of the latents of more than two views."""
    views = len(latents)
    return Missing(f"I and KL are read of pairs, and these are {views} views") if views > 2 else None


def no_information(train: Latents, validation: Latents, test: Latents) -> Missing | None:
    """Why I(z; z') of these latents, (z, z') of [N, D] each, cannot be estimated: further views, too few pairs, or a
    constant side."""
    sizes = {"train": len(train[0]), "validation": len(validation[0]), "test": len(test[0])}
    return further_views(train) or too_few_pairs(sizes) or constant_latent(train)


def lower_bound(
    critic: Callable[..., nn.Module], fit: Fit, scored: int, train: Latents, validation: Latents, test: Latents
) -> Estimate | Missing:
    """A lower bound of I(z; z') by K-way InfoNCE with a fresh critic, K the number of test pairs scored, in nats."""
    if fault := no_information(train, validation, test):
        return fault
    rows = drawn(len(test[0]), scored, test[0].device)  # the table of all pairs grows with the square
    parts = normalised(Parts(Pairs(*train), Pairs(*validation), Pairs(*(z[rows] for z in test))))
    with own_stream(0, test[0].device), torch.enable_grad():
        fresh = critic(latent_dim=train[0].shape[1]).to(test[0].device)
        return fit_and_read(fresh, KWay(), fit, parts, torch.Generator().manual_seed(0))[0]


def fit_and_read(
    critic: nn.Module, estimator: ScoreEstimator, fit: Fit, parts: Parts, generator: torch.Generator
) -> tuple[Estimate, Curve]:
    """Train `critic` with `estimator`; the estimate is on test, where every y is a candidate of every x.

    The step is chosen by validation: by the value of a lower bound, since higher is tighter; otherwise by the
    Jensen-Shannon objective that trains it, since an estimate that is no bound can be high because it is wrong.
    """
    validation = parts.validation.rows(evenly_spaced(len(parts.validation.x), CHOOSING))
    choose = estimator if estimator.bound == "lower" else jensen_shannon
    objective = lambda batch: require_gradient(estimator, estimator(DenseScores(critic(*batch))))
    validate = lambda: choose(DenseScores(critic(*validation))).item()
    curve = fit(nn.ModuleList([critic, estimator]), objective, parts.train, validate, generator)
    with torch.no_grad():
        return Estimate.of_table(lambda table: estimator(DenseScores(table)), critic(*parts.test)), curve
