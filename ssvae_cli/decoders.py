"""Decoders P(x|z): the explicit one of the ordinary VAE (Eq. 1), and the implicit one of all views together.

An implicit decoder is implied by the encoder and the unknown P_true(x), so it cannot generate x. Where nothing else is
chosen, each view has its own: P(x|z) = Q(z|x) P_true(x) / Q(z)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.datasets.base import Shape, require_images
from ssvae_cli.device import full_precision
from ssvae_cli.errors import require_at_least


class ImplicitJoint:
    """P(x, x'|z, z') = Q(z, z'|x, x') P_true(x, x') / Q(z, z'), one implicit decoder of all views.

    The ELBO is -KL(Q(z, z') || P(z, z')), at most 0, up to log P_true(x, x') (Eq. 9 with the views as one x)."""


class ConvDecoder(nn.Module):
    """P(x|z) by a small transposed convolutional network, pixels independent given z.

    beta: training weighs the KL by it (beta-VAE, Higgins et al. 2017); with 1 it maximises the ELBO."""

    def __init__(
        self,
        *,
        shape: Shape,
        latent_dim: int,
        width: int,
        likelihood: Literal["bernoulli", "gaussian"],
        beta: float = 1.0,
    ):
        super().__init__()
        require_at_least(1, width=width)
        require_at_least(0, beta=beta)
        self.beta = beta
        require_images(shape, "decoder=conv")
        channels, height, side = shape
        self.size, self.likelihood = (height, side), likelihood
        self.seed_shape = (2 * width, math.ceil(height / 4), math.ceil(side / 4))
        self.log_std = nn.Parameter(torch.tensor(-1.0)) if likelihood == "gaussian" else None
        self.expand = nn.Linear(latent_dim, math.prod(self.seed_shape))
        double = lambda inputs: [nn.ReLU(), nn.ConvTranspose2d(inputs, width, 4, 2, 1), nn.BatchNorm2d(width)]
        doubled = [*double(2 * width), *double(width)]
        self.layers = nn.Sequential(*doubled, nn.ReLU(), nn.Conv2d(width, channels, 3, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        """Logits (bernoulli) or means (gaussian) of x, [B, D] -> [B, C, H, W]."""
        return self.layers(self.expand(z).view(-1, *self.seed_shape))[..., : self.size[0], : self.size[1]]

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log P(x|z), x [B, C, H, W] in [0, 1] -> [B], nats summed over pixels.
        bernoulli: exact for binary x; for grey pixels the usual cross-entropy, which is no density; x is clamped to
        [0, 1], as views with noise leave it, where the likelihood would be unbounded.
        gaussian: a density on [0, 1] pixels, with one learned standard deviation."""
        predicted = full_precision(self(z))
        if self.log_std is None:
            pixels = -F.binary_cross_entropy_with_logits(predicted, x.clamp(0, 1), reduction="none")
        else:
            log_std = self.log_std.clamp(-5, 2)
            pixels = -0.5 * ((x - predicted) * torch.exp(-log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
        return pixels.flatten(1).sum(1)
