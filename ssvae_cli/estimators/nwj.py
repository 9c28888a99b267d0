"""The bound of Nguyen, Wainwright and Jordan, and estimators that train or evaluate with it."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ssvae_cli.errors import require_within
from ssvae_cli.estimators.base import ScoreEstimator, straight_through
from ssvae_cli.estimators.infonce import InfoNCE

LARGEST_EXPONENT = 40.0  # e^40 = 2e17 nats: past all use, well inside float32


def saturated_exp(exponent: Tensor) -> Tensor:
    """exp, but constant from e^40 on, with gradient e^40 times the exponent's: nothing overflows."""
    return (exponent - (exponent - LARGEST_EXPONENT).clamp_min(0).detach()).exp()


class NWJ(ScoreEstimator):
    """E T - E_{z, z'} e^(T - 1) with T = log f and independent z, z' (Nguyen et al. 2010, f-GAN's KL form).

    Relation to I: a lower bound, unbiased over batches. Relation to the ELBO of `mi`: a lower bound. No ceiling, but
    past e^40 the partition term saturates and the value, still finite, means nothing; variance grows like e^I.
    Source: Nguyen, Wainwright & Jordan 2010.
    """

    name = "nwj"
    estimates = frozenset({"mi", "energy"})
    bound = "lower"

    def forward(self, scores):
        return scores.mean(scores.positives) - saturated_exp(scores.log_partition_all() - 1)


class TUBA(ScoreEstimator):
    """E T - E_{z, z'} e^T / a - log a + 1, T = log f, with a learned baseline a.

    Here a is one number: the best, E e^T, gives DV, and e gives NWJ. Relation to I: a lower bound, unbiased over
    batches. Relation to the ELBO of `mi` and `energy`: the same. No ceiling; variance grows like e^I.
    Source: Barber & Agakov 2003; Poole et al. 2019.
    """

    name = "tuba"
    estimates = frozenset({"mi", "energy"})
    bound = "lower"

    def __init__(self):
        super().__init__()
        self.log_baseline = nn.Parameter(torch.tensor(1.0))

    def forward(self, scores):
        partition = saturated_exp(scores.log_partition_all() - self.log_baseline)
        return scores.mean(scores.positives) - partition - self.log_baseline + 1


class JS(ScoreEstimator):
    """Trains E -softplus(-T) - E_{z, z'} softplus(T), T = log f; reads 1 + E T - E_{z, z'} e^T, NWJ at f = e^T.

    The trained quantity bounds the Jensen-Shannon divergence, not I; its gradient stays small, and its best T is
    log Q(z, z') / Q(z) Q(z'), where the value is I. Relation to I and to the ELBO of `mi`: the value is a lower bound.
    No ceiling; its variance grows like e^I. Source: Nowozin et al. 2016; Hjelm et al. 2019; Poole et al. 2019.
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


class Interpolated(ScoreEstimator):
    """1 + E log [ f / a ] - E_{z, z'} [ f / a ], a = alpha m + (1 - alpha) e, m the mean of f over the candidates.

    alpha = 1 is K-way InfoNCE, alpha = 0 is NWJ; between them bias is traded for variance. Relation to I: a lower
    bound; strictly between the ends biased up by order 1 / K^2, as independent pairs have one candidate less. Relation
    to the ELBO of `mi`: the same. Ceiling: 1 + log K - log alpha; log K at alpha = 1. Variance: between NWJ's and
    InfoNCE's. Source: Poole et al. 2019, Eq. 14.
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
        return (log_mean + math.log(self.alpha)).logaddexp(log_mean.new_full((), 1 + math.log1p(-self.alpha)))

    def ceiling(self, candidates):
        """1 + log (K / alpha); log K at alpha = 1."""
        return (self.alpha < 1) + math.log(candidates / self.alpha) if self.alpha else math.inf
