"""The infinite limit of InfoNCE, by leave-one-out."""

from ssvae_cli.estimators.base import ScoreEstimator


class LeaveOneOut(ScoreEstimator):
    """E [ log f(z_i, z'_i) - log 1/(K-1) sum_{j != i} f(z_i, z'_j) ]: Eq. 30 with Z(z) from the other pairs.

    Relation to I: none; it is no bound, and can exceed I by far. Relation to the ELBO of the InfoNCE prior
    (Eq. 30): its estimate, biased up by Jensen, as the log of a mean of K-1 is low on average. No ceiling;
    variance grows with that of f. Source: Eq. 30 of the paper.
    """

    name = "leave_one_out"
    estimates = frozenset({"infonce"})
    bound = "none"

    def forward(self, scores):
        return scores.mean(scores.positives - scores.log_partition(positive=False))
