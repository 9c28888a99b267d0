"""What every posterior Q(z|x) of a batch answers, and the posterior of several views together."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Posterior(Protocol):
    """Q(z|x) for B inputs; the densities are of stochastic posteriors alone."""

    mean: Tensor  # [B, D]
    stochastic: bool  # whether it is a density, and not a delta

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One z per input, [B, D], float32; gradients reach the parameters."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_i), [B, D] -> [B], nats."""

    def log_prob_table(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_j), [N, D] -> [N, B], nats."""


class Joined:
    """Q(z_1..z_n|x) = prod_i Q(z_i|x_i), the latents joined: [B, n D]."""

    def __init__(self, posteriors: Sequence[Posterior]):
        self.posteriors = posteriors

    @property
    def stochastic(self) -> bool:
        return all(q.stochastic for q in self.posteriors)

    @property
    def mean(self) -> Tensor:
        return torch.cat([q.mean for q in self.posteriors], 1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """[B, n D], float32; gradients reach the parameters."""
        return torch.cat([q.sample(generator) for q in self.posteriors], 1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_i), [B, n D] -> [B], nats."""
        return sum(q.log_prob(part) for q, part in self._each(z))

    def log_prob_table(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_j), [N, n D] -> [N, B], nats."""
        return sum(q.log_prob_table(part) for q, part in self._each(z))

    def _each(self, z: Tensor):
        return zip(self.posteriors, z.chunk(len(self.posteriors), 1))
