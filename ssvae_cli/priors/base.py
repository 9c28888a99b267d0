"""What a prior answers: its latent space, what has to be estimated, its ELBO in training, its samples."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.distributions.spaces import SPACES, Space
from ssvae_cli.estimators.base import Estimator
from ssvae_cli.instantiate.build import Contract

Quantity = Literal["infonce", "mi", "energy", "entropy", "baseline"]
Sampler = Callable[[Tensor], Tensor]  # like: [B, F] -> B samples of P, their sides joined
CONTRACT = Contract(
    ("quantity", "space", "views", "elbo"),
    "a prior derives from ExplicitPrior or ScorePrior of ssvae_cli.priors; a ScorePrior also names its `quantity`, "
    "infonce, mi or energy, by which estimators are matched to it",
)


class NoSamples(Exception):
    """P cannot be sampled, so no classifier can estimate its KL."""


class Encoded(NamedTuple):
    """A batch in latent space: one sample of each posterior, [B, D], and the posteriors themselves."""

    z: Tensor
    z_prime: Tensor | None  # None under an unstructured prior, which sees one x
    posterior: Posterior
    posterior_prime: Posterior | None

    @property
    def latents(self) -> tuple[Tensor, ...]:
        """(z, z'), or (z,) under an unstructured prior."""
        return (self.z,) if self.z_prime is None else (self.z, self.z_prime)

    @property
    def posteriors(self) -> tuple[Posterior, ...]:
        """The posterior of each of the latents."""
        return (self.posterior,) if self.z_prime is None else (self.posterior, self.posterior_prime)


class Prior(nn.Module, ABC):
    """P(z, z') or P(z). Subclasses name the quantity to be estimated and give the ELBO."""

    quantity: Quantity
    views = 2  # number of latents; 1 for an unstructured prior
    space: type[Space] = SPACES["euclidean"]
    needs_densities = False  # whether the ELBO contains the entropies of Q(z) and Q(z')
    largest_elbo = math.inf  # nats, an upper bound that holds for any data
    no_elbo: str | None = None  # why there is none to be read

    @abstractmethod
    def elbo(self, estimator: Estimator, encoded: Encoded) -> Tensor:
        """The ELBO in nats up to log P_true(x) + log P_true(x'), []; its gradient is the estimator's."""

    def samplers(self, latents: tuple[Tensor, ...]) -> list[Sampler]:
        """Samplers of P: several if the ELBO is a mean over priors, none if P is Q. Raises NoSamples.
        latents: samples of Q, (z, z') or (z,), [N, D] each, from which a prior defined through Q is resampled."""
        raise NoSamples

    def score_table(self, latents: tuple[Tensor, ...]) -> Tensor | None:
        """log f of all combinations, [B, B]; None if P has no critic."""
        return None

    def clusters(self, z: Tensor) -> Tensor | None:
        """The most probable cluster of each z under P, int64: [B, D] -> [B]; None if P has no clusters."""
        return None

    def own_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters of P's law, which learn at a rate of their own; a critic is a network like any other."""
        return ()

    def described(self) -> dict[str, Tensor]:
        """The parameters of P's law by name, [] or [D]: what was learned of the data."""
        return {}

    def require_memory(self, batch: int, device: torch.device) -> None:
        """Raise UserError if a step on a batch of this size cannot fit in memory."""
