"""Priors that give each latent a density given those before it."""

from abc import abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.priors.explicit import ExplicitPrior

Latents = tuple[Tensor, ...]  # [B, D] each


class SequentialPrior(ExplicitPrior):
    """P(z_1..z_n) = P(z_1) prod_i P(z_i|z_1..z_(i-1)), P(z_1) = N(0, I) or, with marginal=encoder, Q(z_1).

    What is before one latent gives one density of the next, so marginals of later latents have no closed form."""

    def __init__(self, *, views: int, **common):
        super().__init__(**common)
        self.views = views

    @abstractmethod
    def following(self, before: Latents) -> Posterior:
        """P(z_i|z_1..z_(i-1)) from the i - 1 latents before it, as a density with samples."""

    def log_prob(self, *latents: Tensor) -> Tensor:
        return self.space.log_prob(latents[0]) + self.log_conditional(*latents)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor | None:
        return self.space.log_prob(z) if side == 0 else None

    def log_conditional(self, *latents: Tensor) -> Tensor:
        steps = range(1, len(latents))
        return sum(self.following(latents[:step]).log_prob(latents[step]) for step in steps)

    def log_given(self, latents, side):
        """Of a later latent given those before it; of the first the step from the second, which is a density too."""
        before = latents[:side] if side else latents[1:2]
        return self.following(before).log_prob_table(latents[side])

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        first = self.space.sample(next(self.parameters()).new_empty(count, dim), generator)
        return tuple(self._ancestral(first, lambda density: density.sample(generator)))

    @torch.no_grad()
    def sample_conditional(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.cat([*self._ancestral(z, lambda density: density.sample(generator))][1:], 1)

    def _ancestral(self, first: Tensor, draw: Callable[[Posterior], Tensor]) -> Iterator[Tensor]:
        """The first latent and the others in turn, each drawn from its density given those before it."""
        latents = (first,)
        yield first
        while len(latents) < self.views:
            latents = (*latents, draw(self.following(latents)).to(first))
            yield latents[-1]
