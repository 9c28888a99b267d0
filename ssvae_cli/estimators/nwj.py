"""The bound of Nguyen, Wainwright and Jordan."""

from torch import Tensor

from ssvae_cli.estimators.base import ScoreEstimator

LARGEST_EXPONENT = 40.0  # e^40 = 2e17 nats: past all use, well inside float32


def saturated_exp(exponent: Tensor) -> Tensor:
    """exp, but constant from e^40 on, where its gradient is e^40 times the exponent's: nothing overflows."""
    return (exponent - (exponent - LARGEST_EXPONENT).clamp_min(0).detach()).exp()


class NWJ(ScoreEstimator):
    """E T - E_{z, z'} e^(T - 1) with T = log f and independent z, z' (Nguyen et al. 2010, f-GAN's KL form).

    Relation to I: a lower bound, unbiased over batches. Relation to the ELBO of `mi`: a lower bound. No ceiling;
    variance grows like e^I. Source: Nguyen, Wainwright & Jordan 2010. Past e^40 the partition term saturates: the
    value is then of no use, but still finite.
    """

    name = "nwj"
    estimates = frozenset({"mi", "energy"})
    bound = "lower"

    def forward(self, scores):
        return scores.mean(scores.positives) - saturated_exp(scores.log_partition_all() - 1)
