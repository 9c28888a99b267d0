"""Unstructured priors: P(z) of a single latent, one x and one z."""

import math

import torch
from torch import Tensor

from ssvae_cli.distributions import laplace
from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.priors.explicit import ExplicitPrior


class Unstructured(ExplicitPrior):
    """P(z) is the reference of its space. With the implicit decoder the ELBO is -KL(Q(z) || P(z)) (Eq. 9), at most 0:
    it constrains only the shape of the marginal."""

    views = 1
    largest_elbo = 0.0
    no_joint = "it sees one view, so its ELBO is -KL(Q(z) || P(z)) with decoder=implicit already"

    def __init__(self):
        super().__init__()  # P(z) alone: there is no other marginal

    def log_prob(self, z: Tensor) -> Tensor:
        """log P(z), [B, D] -> [B], nats."""
        return self.space.log_prob(z)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor:
        return self.log_prob(z)

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor]:
        return (self.space.sample(torch.empty(count, dim), generator),)


class UnstructuredNormal(Unstructured):
    """P(z) = N(0, I). With an explicit decoder this is the prior of the ordinary VAE (Eq. 1)."""

    def log_prob_of_dimensions(self, z: Tensor) -> Tensor:
        return self.space.log_prob(z[..., None])

    def posterior_kl(self, posterior: Posterior) -> Tensor:
        """KL(Q(z|x) || P(z)) of a gaussian posterior in closed form, [B], nats: what the ordinary VAE needs."""
        return posterior.kl_standard_normal()


class UnstructuredLaplace(Unstructured):
    """P(z) = prod_d exp(-|z_d|) / 2: a sparse code."""

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_of_dimensions(z).sum(-1)

    def log_prob_of_dimensions(self, z: Tensor) -> Tensor:
        return -z.abs() - math.log(2)

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor]:
        return (laplace.sample(torch.empty(count, dim), generator),)


class UnstructuredSphere(Unstructured):
    """P(z) uniform on the unit sphere, by surface measure: only uniformity (Wang & Isola 2020)."""

    space = SPACES["sphere"]
