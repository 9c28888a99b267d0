"""The numbers of test that a run has not read, so that every run's summary has the same keys; what it reads on
validation."""

from collections.abc import Iterable

from ssvae_cli.errors import allowed, require
from ssvae_cli.evaluation import (
    cluster_accuracy,
    dimensions,
    elbo,
    elbo_parts,
    eq23,
    factors,
    few_labels,
    geometry,
    knn,
    linear_probe,
    retrieval,
)
from ssvae_cli.evaluation.estimate import INTERVAL
from ssvae_cli.evaluation.evaluation import Metric
from ssvae_cli.tracking.missing import UNREAD, Missing
from ssvae_cli.tracking.names import is_own

METRICS = (elbo, eq23, dimensions, linear_probe, few_labels, knn, geometry, retrieval, cluster_accuracy, factors)
KEYS = tuple(key for metric in METRICS for key in metric.KEYS)


def on_validation(keys: Iterable[str]) -> list[str]:
    """Numbers of test, as they are called on validation."""
    return [f"{key.removesuffix('/test')}/validation" for key in keys]


ON_VALIDATION = {  # the numbers of each metric
    elbo.ELBO: on_validation((elbo.KEYS[0], *elbo.KEYS[len(INTERVAL) :])),
    elbo_parts.ELBOParts: elbo_parts.KEYS,
    linear_probe.LinearProbe: ["probe/linear/validation"],
    knn.KNN: ["probe/knn/validation"],
    geometry.Geometry: on_validation(geometry.KEYS),
    cluster_accuracy.ClusterAccuracy: on_validation(cluster_accuracy.KEYS),
}


def unread() -> dict[str, Missing]:
    """Every number of ssvae's own metrics on test, as one that was not read."""
    return dict.fromkeys(KEYS, UNREAD)


def require_read(name: str, metrics: Iterable[Metric]) -> None:
    """Raise UserError for a number of validation that none of the metrics reads, as far as that is known: not of a
    user's own metric, which may read any."""
    metrics = list(metrics)
    require(bool(metrics), f"trainer.keep_best={name}: evaluation has no metric, and no number is read")
    known = [key for kind, keys in ON_VALIDATION.items() if any(isinstance(m, kind) for m in metrics) for key in keys]
    ours = all(type(metric).__module__.startswith("ssvae_cli.") for metric in metrics)
    may_be = name in known or (not ours and is_own(name) and name.endswith("/validation"))
    require(may_be, f"trainer.keep_best={name}: no number that is read on validation; {allowed(name, known)}")
