"""SMILE: Donsker-Varadhan with a clipped partition."""

from ssvae_cli.errors import require_above
from ssvae_cli.estimators.base import ScoreEstimator, straight_through
from ssvae_cli.estimators.js import jensen_shannon


class SMILE(ScoreEstimator):
    """Reads E T - log E_{z, z'} clip(e^T, e^-clip, e^clip); trains T by Jensen-Shannon, as its authors do.

    Relation to I: none; clipping makes the partition small where T is large, and the value is no bound. Relation to
    the ELBO of `energy`: biased up by the clipping. No ceiling; variance at most of order e^clip.
    Source: Song & Ermon 2020.
    """

    name = "smile"
    estimates = frozenset({"mi", "energy"})
    bound = "none"

    def __init__(self, *, clip: float):
        super().__init__()
        require_above(0, clip=clip)
        self.clip = clip

    def forward(self, scores):
        value = scores.mean(scores.positives) - scores.log_partition_all(clip=self.clip)
        return straight_through(value, jensen_shannon(scores))
