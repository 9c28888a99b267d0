"""Posteriors Q(z|x): a delta, or a normal that is sampled by reparametrisation."""

import math

import torch
from torch import Tensor


class Deterministic:
    """Q(z|x) = delta(z - g(x)). mean: [B, D]."""

    stochastic = False

    def __init__(self, parameters: Tensor):
        self.mean = parameters.float()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """z = g(x), [B, D], float32."""
        return self.mean


class Gaussian:
    """Q(z|x) = N(mean, diag(exp(log_std))^2), both [B, D]; log_std is kept within [-6, 2] by a tanh."""

    stochastic = True

    def __init__(self, parameters: Tensor):
        self.mean, raw = parameters.float().chunk(2, dim=1)
        self.log_std = -2 + 4 * torch.tanh(raw / 4)

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
