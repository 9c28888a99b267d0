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
    """A batch in latent space: one sample of each view's posterior, [B, D], and the posteriors themselves.

    Pairs have two latents, z and z'; an unstructured prior sees one x, and so z alone."""

    latents: tuple[Tensor, ...]
    posteriors: tuple[Posterior, ...]
    times: tuple[Tensor, ...] = ()  # latents of other times of each sequence, [B, D]: candidates of its own


class Prior(nn.Module, ABC):
    """P(z, z'), P(z_1, ..., z_n) or P(z). Subclasses name the quantity to be estimated and give the ELBO."""

    quantity: Quantity
    views = 2  # number of latents n; 1 for an unstructured prior; a constructor that takes `views` is given n
    space: type[Space] = SPACES["euclidean"]
    needs_densities = False  # whether the ELBO contains entropies of the latents
    no_joint = ""  # why the ELBO of a joint decoder is not defined or not estimated, for an error message
    largest_elbo = math.inf  # nats, an upper bound that holds for any data
    of_further_views = {}  # values of settings that say something of the third view on
    no_elbo: str | None = None  # why there is none to be read

    @abstractmethod
    def elbo(self, estimator: Estimator, encoded: Encoded) -> Tensor:
        """The ELBO in nats up to the sum of log P_true over the views, []; its gradient is the estimator's.
        A prior that has no `no_joint` also takes joint=True: one implicit decoder of all views."""

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
        """The parameters of P's law, which have their own learning rate; a critic is a network like any other."""
        return ()

    def described(self) -> dict[str, Tensor]:
        """The parameters of P's law by name, [] or [D]: what was learned of the data."""
        return {}

    def require_promised(self, latent_dim: int) -> None:
        """Raise PartError where what it gives of a few latents has not the shape that its neighbours rely on.

        It is tried once, before training: a wrong shape that broadcasts would be a wrong number."""

    def require_memory(self, batch: int, device: torch.device) -> None:
        """Raise UserError if a step on a batch of this size cannot fit in memory."""
