"""Where latents live. A prior names its space, and the encoder's output is mapped there.

The reference of a space is a density that can be both sampled and computed: entropies are measured from it. Densities
on the sphere are with respect to its surface measure.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

SpaceName = Literal["euclidean", "sphere", "box"]


class Euclidean:
    """R^D, with N(0, I)."""

    name = "euclidean"

    @staticmethod
    def project(parameters: Tensor) -> Tensor:
        """[B, D] -> [B, D], as they are."""
        return parameters

    @staticmethod
    def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Samples of the reference, in the shape, type and place of `like`: [B, D]."""
        return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)

    @staticmethod
    def log_prob(z: Tensor) -> Tensor:
        """log density of the reference, [B, D] -> [B], nats."""
        return -0.5 * (z**2).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)


class Sphere:
    """The unit sphere in R^D, with the uniform density."""

    name = "sphere"

    @staticmethod
    def project(parameters: Tensor) -> Tensor:
        """[B, D] -> [B, D] of length 1."""
        return F.normalize(parameters)

    @staticmethod
    def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return F.normalize(Euclidean.sample(like, generator))

    @staticmethod
    def log_prob(z: Tensor) -> Tensor:
        return torch.full(z.shape[:-1], -log_area(z.shape[-1]), dtype=z.dtype, device=z.device)


class Box:
    """The unit box [0, 1]^D, with the uniform density."""

    name = "box"

    @staticmethod
    def project(parameters: Tensor) -> Tensor:
        """[B, D] -> [B, D] in (0, 1), by a logistic function."""
        return parameters.sigmoid()

    @staticmethod
    def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(like.shape, dtype=like.dtype, device=like.device, generator=generator)

    @staticmethod
    def log_prob(z: Tensor) -> Tensor:
        return torch.zeros(z.shape[:-1], dtype=z.dtype, device=z.device)


SPACES = {space.name: space for space in (Euclidean, Sphere, Box)}


def log_area(dim: int) -> float:
    """log surface area of the unit sphere in R^dim, nats."""
    return math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)
