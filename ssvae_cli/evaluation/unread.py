"""The numbers of test that a run has not read, so that every run's summary has the same keys."""

from ssvae_cli.evaluation import elbo, eq23, factors, geometry, knn, linear_probe
from ssvae_cli.tracking.missing import UNREAD, Missing

KEYS = tuple(key for metric in (elbo, eq23, linear_probe, knn, geometry, factors) for key in metric.KEYS)


def unread() -> dict[str, Missing]:
    """Every number of ssvae's own metrics on test, as one that was not read."""
    return dict.fromkeys(KEYS, UNREAD)
