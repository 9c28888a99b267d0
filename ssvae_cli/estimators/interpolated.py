"""The bound between NWJ and InfoNCE."""

import math

from ssvae_cli.errors import require_within
from ssvae_cli.estimators.base import ScoreEstimator
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.estimators.nwj import NWJ, saturated_exp


class Interpolated(ScoreEstimator):
    """1 + E log [ f / a ] - E_{z, z'} [ f / a ], a = alpha m + (1 - alpha) e, m the mean of f over the candidates.

    alpha = 1 is K-way InfoNCE, alpha = 0 is NWJ; between them bias is traded for variance. Relation to I: a lower
    bound, but for a bias up of order 1 / K^2 strictly between the ends, where independent pairs have one candidate
    less. Relation to the ELBO of `mi`: the same. Ceiling 1 + log K - log alpha, log K at alpha = 1. Variance between
    NWJ's and InfoNCE's. Source: Poole et al. 2019, Eq. 14.
    """

    name = "interpolated"
    estimates = frozenset({"mi"})
    bound = "lower"

    def __init__(self, *, alpha: float):
        super().__init__()
        require_within(0, 1, alpha=alpha)
        self.alpha = alpha

    def forward(self, scores):
        if self.alpha in (0, 1):
            return (InfoNCE() if self.alpha else NWJ())(scores)
        among, apart = (scores.log_partition(positive=p) for p in (True, False))
        value = scores.positives - self._log_baseline(among) - saturated_exp(apart - self._log_baseline(apart))
        return 1 + scores.mean(value)

    def _log_baseline(self, log_mean):
        return (log_mean + math.log(self.alpha)).logaddexp(log_mean.new_tensor(1 + math.log1p(-self.alpha)))

    def ceiling(self, candidates):
        """1 + log K / alpha, the 1 gone at alpha = 1."""
        return (self.alpha < 1) + math.log(candidates / self.alpha) if self.alpha else math.inf
