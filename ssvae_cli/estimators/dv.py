"""The Donsker-Varadhan bound."""

from ssvae_cli.estimators.base import ScoreEstimator


class DV(ScoreEstimator):
    """E T - log E_{z, z'} e^T with T = log f and independent z, z' (Donsker & Varadhan 1983).

    Relation to I: a lower bound in expectation over infinitely many samples; a minibatch's log of a mean biases
    it up. Relation to the ELBO: that of `energy`, biased up likewise; of `mi` a lower bound. No ceiling; variance
    grows like e^I. Source: Donsker & Varadhan 1983.
    """

    name = "dv"
    estimates = frozenset({"mi", "energy"})
    bound = "lower"

    def forward(self, scores):
        return scores.mean(scores.positives) - scores.log_partition_all()
