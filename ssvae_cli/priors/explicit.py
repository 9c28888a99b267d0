"""Priors with a density."""

import math
from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ssvae_cli.distributed.collectives import all_gather_encoded
from ssvae_cli.errors import PartError
from ssvae_cli.priors.base import NoSamples, Prior

Marginal = Literal["own", "encoder"]
AT_ONCE = 2**26  # numbers of a table of pairs, over all coordinates, that are computed and kept at once


class ExplicitPrior(Prior):
    """A prior with a density. The ELBO is E log P(z, z') + H(z) + H(z') (Eq. 17), its entropies estimated.

    marginal: `own`, P(z) as the prior writes it; `encoder`, P(z) = Q(z) as in Eq. 26, so that P(z'|z) alone is explicit
    and the ELBO is E log P(z'|z) + H(z') = I - E KL(Q(z'|z) || P(z'|z)).
    """

    quantity = "entropy"
    needs_densities = True
    law = ()  # the names of the properties, [] or [D], that `described` gives

    def __init__(self, *, marginal: Marginal = "own"):
        super().__init__()
        self.marginal = marginal

    @abstractmethod
    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log P(z, z'), [B, D] each -> [B], nats; log P(z) of an unstructured prior."""

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor | None:
        """log P(z), or log P(z') for side 1: [B, D] -> [B], nats; None where it has no closed form."""
        return None

    def log_conditional(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log P(z'|z), [B, D] each -> [B], nats. Raises PartError where P(z) has no closed form."""
        of_z = self.log_marginal(z)
        if of_z is None:
            raise PartError(f"prior: {type(self).__name__} has no log_marginal, from which P(z'|z) follows")
        return self.log_prob(z, z_prime) - of_z

    def log_given(self, latents: tuple[Tensor, Tensor], side: int) -> Tensor:
        """log of a density of each latent of one side given each of the other, [N, D] and [M, D]: log P(z'_i|z_j),
        [M, N], of side 1; log P(z_i|z'_j), [N, M], of side 0, or where it has no closed form the forward conditional
        with its sides exchanged, which is a density of z too."""
        z, z_prime = latents
        if side == 1:
            return self.log_conditional(z, z_prime[:, None])
        of_z_prime = self.log_marginal(z_prime, side=1)
        if of_z_prime is None:
            return self.log_conditional(z_prime, z[:, None])
        return self.log_prob(z[:, None], z_prime) - of_z_prime

    def log_mixture(self, latents: tuple[Tensor, Tensor], side: int) -> Tensor:
        """log 1/B sum_j P(z_i|z'_j) of side 0, log 1/B sum_j P(z'_i|z_j) of side 1: [B], nats.

        A table too large to be kept is computed in rows, again for the gradient."""
        own, other = latents[side], latents[1 - side]
        rows = max(1, AT_ONCE // other.numel())

        def of_rows(own: Tensor, other: Tensor) -> Tensor:
            return self.log_given((own, other) if side == 0 else (other, own), side).logsumexp(1)

        if rows >= len(own):
            parts = [of_rows(own, other)]
        else:
            parts = [checkpoint(of_rows, part, other, use_reentrant=False) for part in own.split(rows)]
        return torch.cat(parts) - math.log(len(other))

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """`count` samples of (z, z'), [count, dim] each; of (z,) for an unstructured prior."""
        raise NoSamples

    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A sample of P(z'|z) for every z, [N, D]."""
        raise NoSamples

    @property
    def estimated(self) -> tuple[int, ...]:
        """The sides whose entropies the ELBO contains."""
        return (0, 1)[: self.views] if self.marginal == "own" else (1,)

    def log_density(self, latents: tuple[Tensor, ...]) -> Tensor:
        """What the ELBO contains of P, [B]: log P(z, z'), or log P(z'|z) where P(z) = Q(z)."""
        return self.log_prob(*latents) if self.marginal == "own" else self.log_conditional(*latents)

    def own_parameters(self):
        return self.parameters()

    @torch.no_grad()
    def described(self):
        return {name: getattr(self, name) for name in self.law}

    def elbo(self, estimator, encoded):
        encoded = all_gather_encoded(encoded)
        value = self.log_density(encoded.latents).mean()
        for side in self.estimated if estimator.estimates_elbo else range(self.views):
            mixture = lambda side=side: self.log_mixture(encoded.latents, side)
            z, posterior = encoded.latents[side], encoded.posteriors[side]
            value = value + estimator(z, posterior=posterior, space=self.space, side=side, mixture=mixture)
        return value

    def samplers(self, latents):
        dim = latents[0].shape[1]
        if self.marginal == "own":
            return [lambda like: torch.cat(self.sample(len(like), dim), 1).to(like)]

        def sample(like: Tensor) -> Tensor:
            z = latents[0][torch.randint(len(latents[0]), (len(like),), device=like.device)]
            return torch.cat([z, self.sample_conditional(z)], 1).to(like)

        return [sample]
