"""The numbers of test that a run has not read, so that every run's summary has the same keys."""

from ssvae_cli.evaluation import (
    cluster_accuracy,
    dimensions,
    elbo,
    eq23,
    factors,
    few_labels,
    geometry,
    knn,
    linear_probe,
    retrieval,
)
from ssvae_cli.tracking.missing import UNREAD, Missing

METRICS = (elbo, eq23, dimensions, linear_probe, few_labels, knn, geometry, retrieval, cluster_accuracy, factors)
KEYS = tuple(key for metric in METRICS for key in metric.KEYS)
ON_VALIDATION = [f"{key.removesuffix('/test')}/validation" for key in (*elbo.KEYS[:1], *elbo.KEYS[5:], *geometry.KEYS)]
ON_VALIDATION += ["probe/linear/validation", "probe/knn/validation", "clusters/accuracy/validation"]


def unread() -> dict[str, Missing]:
    """Every number of ssvae's own metrics on test, as one that was not read."""
    return dict.fromkeys(KEYS, UNREAD)
