"""The bound of Nguyen, Wainwright and Jordan."""

import math

from torch import Tensor

from ssvae_cli.scores import Scores

LARGEST_EXPONENT = 40.0  # e^40 = 2e17 nats: past all use, well inside float32


class NWJ:
    """E T - E_{z, z'} e^(T - 1) with T = log f and independent z, z' (Nguyen et al. 2010, f-GAN's KL form).

    Relation to I: a lower bound, unbiased over batches. Relation to the ELBO of `mi`: a lower bound. No ceiling;
    variance grows like e^I. The partition term saturates at e^40, its gradient at e^40 times that of log E e^T,
    so that scores of any size overflow nothing; there the value is of no use, but still finite.
    """

    name = "nwj"
    bound = "lower"

    def __call__(self, scores: Scores) -> Tensor:
        exponent = scores.log_partition_all() - 1
        excess = (exponent - LARGEST_EXPONENT).clamp_min(0).detach()
        return scores.mean(scores.positives) - (exponent - excess).exp()

    @staticmethod
    def ceiling(candidates: float) -> float:
        return math.inf
