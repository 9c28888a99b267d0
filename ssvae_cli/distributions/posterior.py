"""What every posterior Q(z|x) of a batch answers."""

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
