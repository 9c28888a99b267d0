"""The Jensen-Shannon objective, read as NWJ."""

from torch.nn.functional import softplus

from ssvae_cli.estimators.base import ScoreEstimator, straight_through
from ssvae_cli.estimators.nwj import saturated_exp


class JS(ScoreEstimator):
    """Trains E -softplus(-T) - E_{z, z'} softplus(T), T = log f; reads 1 + E T - E_{z, z'} e^T, NWJ at f = e^T.

    The trained quantity is a bound of the Jensen-Shannon divergence and not of I; its gradient is tame, and its best T
    is log Q(z, z') / Q(z) Q(z'), where the value is I. Relation to I: the value is a lower bound. Relation to the ELBO
    of `mi`: a lower bound. No ceiling; the value's variance grows like e^I. Source: Nowozin et al. 2016; Hjelm et al.
    2019; Poole et al. 2019.
    """

    name = "js"
    estimates = frozenset({"mi"})
    bound = "lower"

    def forward(self, scores):
        value = 1 + scores.mean(scores.positives) - saturated_exp(scores.log_partition_all())
        return straight_through(value, jensen_shannon(scores))


def jensen_shannon(scores):
    """E -softplus(-T) - E_{z, z'} softplus(T), []."""
    return -scores.mean(softplus(-scores.positives)) - scores.softplus_all()
