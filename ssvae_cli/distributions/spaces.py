"""The spaces of latents. A prior names its space, and the encoder's output is mapped there.

The reference of a space is a density that can be both sampled and computed: entropies are measured from it, after a
map that brings samples of Q near it. Densities on the sphere are with respect to its surface measure.
"""

import math
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.distributions.covariance import factor_of, logdet_bias, solve

SpaceName = Literal["euclidean", "sphere", "box"]
Map = Callable[[Tensor], tuple[Tensor, Tensor]]  # z, [B, D] -> (u, [B, D]; log |du/dz|, [B])
EDGE = 1e-7  # from a wall of the box


class Space(Protocol):
    """What a space provides, without state: each is a class of static methods."""

    name: SpaceName

    @staticmethod
    def project(parameters: Tensor) -> Tensor: ...  # an encoder's output, [B, D], mapped into the space
    @staticmethod
    def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor: ...  # of the reference, as `like`
    @staticmethod
    def log_prob(z: Tensor) -> Tensor: ...  # log density of the reference, [B, D] -> [B], nats
    @staticmethod
    def mix(reference: Tensor, z: Tensor, share: float) -> Tensor: ...  # a point between; share: of z, in [0, 1]
    @staticmethod
    def standardiser(z: Tensor) -> Map: ...  # gives the samples z, [N, D], the reference's first moments
    @staticmethod
    def least_samples(dim: int) -> int: ...  # of dimension D = dim, which have the moments that `standardiser` needs
    @staticmethod
    def largest_entropy(z: Tensor) -> Tensor: ...  # that a variable with the moments of the samples can have, [], nats
    @staticmethod
    def unbounded(z: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """(u, s): u is z in R^D, [N, D], and E [log q(u) + s], s: [N], is at most E log Q(z) for every density q, and
        equal for that of u."""


class Euclidean:
    """R^D, with N(0, I)."""

    name = "euclidean"

    @staticmethod
    def project(parameters: Tensor) -> Tensor:
        return parameters

    @staticmethod
    def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)

    @staticmethod
    def log_prob(z: Tensor) -> Tensor:
        return -0.5 * (z**2).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)

    @staticmethod
    def mix(reference: Tensor, z: Tensor, share: float) -> Tensor:
        return math.sqrt(1 - share**2) * reference + share * z

    @staticmethod
    def standardiser(z: Tensor) -> Map:
        """Mean 0 and covariance I."""
        mean = z.mean(0)
        factor, log_volume = factor_of((z - mean).T @ (z - mean) / (len(z) - 1))
        return lambda z: (solve(factor, z - mean), -log_volume.expand(len(z)))

    @staticmethod
    def least_samples(dim: int) -> int:
        return dim + 1

    @staticmethod
    def largest_entropy(z: Tensor) -> Tensor:
        """1/2 log det(2 pi e Sigma), less the bias of the sample covariance on normal data; infinite where there are no
        more samples than dimensions: that covariance is singular."""
        if len(z) <= z.shape[1]:
            return z.new_full((), math.inf)
        _, log_jacobian = Euclidean.standardiser(z)(z[:1])
        return 0.5 * z.shape[1] * math.log(2 * math.pi * math.e) - log_jacobian.mean() - logdet_bias(*z.shape)

    @staticmethod
    def unbounded(z: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        return z, z.new_zeros(len(z))


class Sphere:
    """The unit sphere in R^D, with the uniform density."""

    name = "sphere"

    @staticmethod
    def project(parameters: Tensor) -> Tensor:
        """Normalised to length 1."""
        return F.normalize(parameters)

    @staticmethod
    def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return F.normalize(Euclidean.sample(like, generator))

    @staticmethod
    def log_prob(z: Tensor) -> Tensor:
        return torch.full(z.shape[:-1], -log_area(z.shape[-1]), dtype=z.dtype, device=z.device)

    @staticmethod
    def mix(reference: Tensor, z: Tensor, share: float) -> Tensor:
        return F.normalize(Euclidean.mix(reference, z, share))

    @staticmethod
    def standardiser(z: Tensor) -> Map:
        """z -> L^-1 z / |L^-1 z|, L L^T the second moments of the samples z.
        It makes an angular central Gaussian (Tyler 1987) uniform; the Jacobian is its density."""
        factor, log_volume = factor_of(z.T @ z * (z.shape[1] / len(z)))

        def to_reference(z):
            pulled = solve(factor, z)
            return F.normalize(pulled), -log_volume - z.shape[1] * pulled.norm(dim=1).log()

        return to_reference

    @staticmethod
    def least_samples(dim: int) -> int:
        return dim + 1

    @staticmethod
    def largest_entropy(z: Tensor) -> Tensor:
        """log of the surface area."""
        return z.new_full((), log_area(z.shape[1]))

    @staticmethod
    def entropy_of_moments(z: Tensor) -> Tensor:
        """log area + 1/2 log det(D M), M = E z z^T of the samples, less its bias if they are uniform: that of D - 1
        normal dimensions about a known mean, to first order in 1/N. No variable of these moments has a larger one."""
        count, dim = z.shape
        _, log_volume = factor_of(z.T @ z * (dim / count))
        return log_area(dim) + log_volume - logdet_bias(count + 1, dim - 1)

    @staticmethod
    def unbounded(z: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """u = r z, r independent of z and distributed as chi with D degrees of freedom: uniform z make u normal.
        log Q(u) = log Q(z) + log chi_D(r) - (D - 1) log r."""
        u = Euclidean.sample(z, generator).norm(dim=1, keepdim=True) * z
        return u, Sphere.log_volume(u)

    @staticmethod
    def log_volume(u: Tensor) -> Tensor:
        """(D - 1) log r - log chi_D(r) of r = |u|, [N, D] -> [N]: log of the area of the sphere over its density."""
        return -log_area(u.shape[1]) - Euclidean.log_prob(u)


class Box:
    """The unit box [0, 1]^D, with the uniform density."""

    name = "box"

    @staticmethod
    def project(parameters: Tensor) -> Tensor:
        """Into (0, 1), by a logistic function."""
        return parameters.sigmoid()

    @staticmethod
    def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(like.shape, dtype=like.dtype, device=like.device, generator=generator)

    @staticmethod
    def log_prob(z: Tensor) -> Tensor:
        return torch.zeros(z.shape[:-1], dtype=z.dtype, device=z.device)

    @staticmethod
    def mix(reference: Tensor, z: Tensor, share: float) -> Tensor:
        return (1 - share) * reference + share * z

    @staticmethod
    def standardiser(z: Tensor) -> Map:
        return lambda z: (z, z.new_zeros(len(z)))

    @staticmethod
    def least_samples(dim: int) -> int:
        return 1

    @staticmethod
    def largest_entropy(z: Tensor) -> Tensor:
        """0, of the uniform density."""
        return z.new_zeros(())

    @staticmethod
    def unbounded(z: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The logit; latents at a wall are moved off it by what a float cannot tell apart."""
        z = z.double().clamp(EDGE, 1 - EDGE)
        return z.logit(), -(z.log() + (-z).log1p()).sum(1)


class Simplex:
    """Probabilities of K categories, [..., K]. What is linear in them is an exact expectation over the categories; no
    density and no reference: their entropies are sums, so it is not among the SPACES."""

    name = "simplex"

    @staticmethod
    def project(parameters: Tensor) -> Tensor:
        """By a softmax."""
        return parameters.softmax(-1)


SPACES = {space.name: space for space in (Euclidean, Sphere, Box)}


def log_area(dim: int) -> float:
    """log surface area of the unit sphere in R^dim, nats."""
    return math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)
