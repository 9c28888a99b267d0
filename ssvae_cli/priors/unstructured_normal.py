"""The unstructured normal prior: P(z) = N(0, I), one x and one z."""

import torch
from torch import Tensor

from ssvae_cli.priors.base import Prior


class UnstructuredNormal(Prior):
    """P(z) = N(0, I). With the implicit decoder the ELBO is -KL(Q(z) || P(z)) (Eq. 9): nothing but the shape
    of the marginal is asked for. With an explicit decoder this is the prior of the ordinary VAE (Eq. 1)."""

    served_by = ("classifier", "analytic")
    views = 1

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Samples of P(z), in the shape, type and place of `like`: [B, D]."""
        return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z), [B, D] -> [B], nats."""
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)

    def elbo(self, estimator, encoded):
        return estimator(self, encoded)
