"""The unstructured normal prior: P(z) = N(0, I), one x and one z."""

import torch
from torch import Tensor

from ssvae_cli.priors.base import ExplicitPrior


class UnstructuredNormal(ExplicitPrior):
    """P(z) = N(0, I). With the implicit decoder the ELBO is -KL(Q(z) || P(z)) (Eq. 9): nothing but the shape
    of the marginal is asked for. With an explicit decoder this is the prior of the ordinary VAE (Eq. 1)."""

    served_by = (*ExplicitPrior.served_by, "analytic")
    views = 1

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z), [B, D] -> [B], nats."""
        return self.space.log_prob(z)

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor]:
        return (torch.randn(count, dim, generator=generator),)
