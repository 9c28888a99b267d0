"""Posteriors Q(z|x): a delta on any space, or a normal that is sampled by reparametrisation.

A posterior is made of the encoder's output, [B, width(D)], and of the space in which the prior lives.
"""

import math

import torch
from torch import Tensor

from ssvae_cli.spaces import Euclidean


class Deterministic:
    """Q(z|x) = delta(z - g(x)). mean: [B, D]."""

    stochastic = False
    spaces = ("euclidean", "sphere", "box")

    def __init__(self, parameters: Tensor, space=Euclidean):
        self.mean = space.project(parameters.float())

    @staticmethod
    def width(latent_dim: int) -> int:
        """How many numbers the encoder has to give."""
        return latent_dim

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """z = g(x), [B, D], float32."""
        return self.mean


class Gaussian:
    """Q(z|x) = N(mean, diag(exp(log_std))^2), both [B, D]; log_std is kept within [-6, 2] by a tanh."""

    stochastic = True
    spaces = ("euclidean",)

    def __init__(self, parameters: Tensor, space=Euclidean):
        self.mean, raw = parameters.float().chunk(2, dim=1)
        self.log_std = -2 + 4 * torch.tanh(raw / 4)

    @staticmethod
    def width(latent_dim: int) -> int:
        return 2 * latent_dim

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """z = mean + std * noise, [B, D], float32; gradients reach mean and std."""
        noise = torch.randn(self.mean.shape, device=self.mean.device, generator=generator)
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log Q(z|x), [B, D] -> [B], nats."""
        whitened = (z - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * whitened**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(1)

    def kl_standard_normal(self) -> Tensor:
        """KL(Q(z|x) || N(0, I)), [B], nats."""
        return (0.5 * (self.mean**2 + torch.exp(2 * self.log_std) - 1) - self.log_std).sum(1)
