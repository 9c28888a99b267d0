"""What the estimators of explicit priors share: the ELBO is E log P(z, z') + H(z) + H(z')."""

import math

import torch
from torch import Tensor, nn


class EntropyEstimator(nn.Module):
    """Eq. 17 with estimated entropies. Subclasses give `entropy`, and say how it is biased."""

    name: str
    needs_density = False  # whether a posterior without one, a delta, is refused

    def entropy(self, z: Tensor, posterior, space, side: int) -> Tensor:
        """H(z) in nats, [], of the marginal Q that z, [B, D], are samples of; side: 0 for z, 1 for z'."""
        raise NotImplementedError

    def forward(self, prior, encoded) -> Tensor:
        value = prior.log_prob(*encoded.latents).mean()
        for side, (z, posterior) in enumerate(zip(encoded.latents, encoded.posteriors)):
            value = value + self.entropy(z, posterior, prior.space, side)
        return value


def logdet_bias(count: int, dim: int) -> float:
    """E 1/2 log det of the sample covariance of `count` normal samples, less that of their covariance, nats.

    Wishart's: sum_i [digamma((n - i) / 2) - log((n - 1) / 2)] / 2, i = 1..D (Ahmed & Gokhale 1989).
    """
    free = (count - torch.arange(1, dim + 1, dtype=torch.float64)).clamp_min(1)
    return 0.5 * (torch.digamma(free / 2) - math.log((count - 1) / 2)).sum().item()
