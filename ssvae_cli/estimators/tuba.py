"""The tractable unnormalised Barber-Agakov bound, with a learned baseline."""

import torch
from torch import nn

from ssvae_cli.estimators.base import ScoreEstimator
from ssvae_cli.estimators.nwj import saturated_exp


class TUBA(ScoreEstimator):
    """E T - E_{z, z'} e^T / a - log a + 1, T = log f, the baseline a learned (Barber & Agakov 2003; Poole et al. 2019).

    Here a is one number, so that the best a is E e^T, where this is DV; at a = e it is NWJ. Relation to I: a lower
    bound, unbiased over batches. Relation to the ELBO: of `mi` and `energy` a lower bound. No ceiling; variance grows
    like e^I. Source: Barber & Agakov 2003.
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
