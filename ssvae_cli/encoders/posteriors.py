"""Posteriors Q(z|x): a delta on any space, or a density that is sampled by reparametrisation.

A posterior takes its parameters, the encoder's output [B, width(D)], and the prior's space."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.device import full_precision
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.distributions.spaces import Euclidean, Sphere


class Deterministic:
    """Q(z|x) = delta(z - g(x)). mean: [B, D]."""

    stochastic = False
    spaces = ("euclidean", "sphere", "box")

    def __init__(self, parameters: Tensor, space=Euclidean):
        self.mean = space.project(full_precision(parameters))

    @staticmethod
    def width(latent_dim: int) -> int:
        """How many numbers the encoder has to give."""
        return latent_dim

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """z = g(x), [B, D], float32 or better."""
        return self.mean


class Gaussian:
    """Q(z|x) = N(mean, diag(exp(log_std))^2), both [B, D]; a tanh keeps log_std within [-6, 2]."""

    stochastic = True
    spaces = ("euclidean",)

    def __init__(self, parameters: Tensor, space=Euclidean):
        self.mean, raw = full_precision(parameters).chunk(2, dim=1)
        self.log_std = -2 + 4 * torch.tanh(raw / 4)

    @staticmethod
    def width(latent_dim: int) -> int:
        return 2 * latent_dim

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """z = mean + std * noise, [B, D], float32 or better; gradients reach mean and std."""
        noise = draw_rows(torch.randn, *self.mean.shape, device=self.mean.device, generator=generator)
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log Q(z|x), [B, D] -> [B], nats."""
        whitened = (z - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * whitened**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def log_prob_table(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_j), [N, D] -> [N, B], nats."""
        return self.log_prob(z[:, None])

    def kl_standard_normal(self) -> Tensor:
        """KL(Q(z|x) || N(0, I)), [B], nats."""
        return (0.5 * (self.mean**2 + torch.exp(2 * self.log_std) - 1) - self.log_std).sum(1)


class PowerSpherical:
    """Q(z|x) on the unit sphere, proportional to (1 + mean^T z)^kappa (De Cao & Aziz 2020).
    Shaped like a von Mises-Fisher density, but sampled without rejection. mean: [B, D] of length 1;
    kappa: [B], D e^(3 tanh), within a factor of 20 of D."""

    stochastic = True
    spaces = ("sphere",)

    def __init__(self, parameters: Tensor, space=Sphere):
        parameters = full_precision(parameters)
        self.mean = space.project(parameters[:, :-1])
        self.kappa = self.mean.shape[1] * torch.exp(3 * torch.tanh(parameters[:, -1] / 3))

    @staticmethod
    def width(latent_dim: int) -> int:
        return latent_dim + 1

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """[B, D], float32 or better; gradients reach mean and kappa."""
        half = 0.5 * (self.mean.shape[1] - 1)
        with own_stream(generator, self.mean.device):
            cosine = 2 * torch.distributions.Beta(half + self.kappa, half).rsample()[:, None] - 1
            noise = Sphere.sample(self.mean[:, 1:])
        # A sample about the first axis, then reflected so that this axis falls on the mean.
        upright = torch.cat([cosine, (1 - cosine**2).clamp_min(1e-12).sqrt() * noise], 1)
        mirror = F.normalize(torch.eye(1, self.mean.shape[1]).to(self.mean) - self.mean)
        return upright - 2 * (upright * mirror).sum(1, keepdim=True) * mirror

    def log_prob(self, z: Tensor) -> Tensor:
        """log Q(z|x) by surface measure, [B, D] -> [B], nats."""
        return self._log_density((z * self.mean).sum(1))

    def log_prob_table(self, z: Tensor) -> Tensor:
        """log Q(z_i|x_j), [N, D] -> [N, B], nats."""
        return self._log_density(z @ self.mean.T)

    def _log_density(self, cosine: Tensor) -> Tensor:
        b = 0.5 * (self.mean.shape[1] - 1)
        a = b + self.kappa
        log_normaliser = torch.lgamma(a + b) - torch.lgamma(a) - (a + b) * math.log(2) - b * math.log(math.pi)
        return log_normaliser + self.kappa * torch.log1p(cosine.clamp_min(-1 + 1e-6))
