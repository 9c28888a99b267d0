"""What the estimators of explicit priors share: the ELBO is E log P(z, z') + H(z) + H(z')."""

import math

import torch
from torch import Tensor, nn

RIDGE = 1e-6  # of the mean variance, so that fewer samples than dimensions, or dead units, stay finite


class EntropyEstimator(nn.Module):
    """Eq. 17 with estimated entropies. Subclasses give `entropy`, and say how it is biased."""

    name: str

    def entropy(self, z: Tensor, posterior, space, side: int) -> Tensor:
        """H(z) in nats, [], of the marginal Q that z, [B, D], are samples of; side: 0 for z, 1 for z'."""
        raise NotImplementedError

    def forward(self, prior, encoded) -> Tensor:
        value = prior.log_prob(*encoded.latents).mean()
        for side, (z, posterior) in enumerate(zip(encoded.latents, encoded.posteriors)):
            value = value + self.entropy(z, posterior, prior.space, side)
        return value


def whiten(z: Tensor) -> tuple[Tensor, Tensor]:
    """(z with mean 0 and covariance I, [B, D]; 1/2 log det of its covariance, [])."""
    centred = z - z.mean(0)
    covariance = centred.T @ centred / (len(z) - 1)
    ridge = RIDGE * covariance.diagonal().mean().detach() + torch.finfo(z.dtype).tiny
    factor = torch.linalg.cholesky(covariance + ridge * torch.eye(z.shape[1], dtype=z.dtype, device=z.device))
    white = torch.linalg.solve_triangular(factor, centred.T, upper=False).T
    return white, factor.diagonal().log().sum()


def logdet_bias(count: int, dim: int) -> float:
    """E 1/2 log det of the sample covariance of `count` normal samples, less that of their covariance, nats.

    Wishart's: sum_i [digamma((n - i) / 2) - log((n - 1) / 2)] / 2, i = 1..D (Ahmed & Gokhale 1989).
    """
    free = (count - torch.arange(1, dim + 1, dtype=torch.float64)).clamp_min(1)
    return 0.5 * (torch.digamma(free / 2) - math.log((count - 1) / 2)).sum().item()
