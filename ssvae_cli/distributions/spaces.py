"""The spaces of latents. A prior names its space, and the encoder's output is mapped there.

The reference of a space is a density that can be both sampled and computed: entropies are measured from it, after a
map that brings samples of Q near it. Densities on the sphere are with respect to its surface measure.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.compiler import marked

SpaceName = Literal["euclidean", "sphere", "box"]
Map = Callable[[Tensor], tuple[Tensor, Tensor]]  # z, [B, D] -> (u, [B, D]; log |du/dz|, [B])
EDGE = 1e-7  # from a wall of the box
RIDGE = 1e-6  # times the mean variance; keeps results finite for fewer samples than dimensions and for dead units


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
    def largest_entropy(z: Tensor) -> Tensor: ...  # that a variable with the moments of the samples can have, [], nats
    @staticmethod
    def unbounded(z: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]: ...  # (u, s): u is z

    # in R^D, [N, D], and E [log q(u) + s], s: [N], is at most E log Q(z) for every density q, and equal for that of u


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
        factor, log_volume = _factor((z - mean).T @ (z - mean) / (len(z) - 1))
        return lambda z: (_solve(factor, z - mean), -log_volume.expand(len(z)))

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
        factor, log_volume = _factor(z.T @ z * (z.shape[1] / len(z)))

        def to_reference(z):
            pulled = _solve(factor, z)
            return F.normalize(pulled), -log_volume - z.shape[1] * pulled.norm(dim=1).log()

        return to_reference

    @staticmethod
    def largest_entropy(z: Tensor) -> Tensor:
        """log of the surface area."""
        return z.new_full((), log_area(z.shape[1]))

    @staticmethod
    def entropy_of_moments(z: Tensor) -> Tensor:
        """log area + 1/2 log det(D M), M = E z z^T of the samples, less its bias if they are uniform: that of D - 1
        normal dimensions about a known mean, to first order in 1/N. No variable of these moments has a larger one."""
        count, dim = z.shape
        _, log_volume = _factor(z.T @ z * (dim / count))
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


class Spheres:
    """The product of `count` unit spheres in R^D: latents of as many views joined, [B, count D]; a Space."""

    name = "spheres"

    def __init__(self, count: int):
        self.count = count

    def parts(self, z: Tensor) -> tuple[Tensor, ...]:
        """The latents of each view, [..., D]."""
        return z.chunk(self.count, -1)

    def project(self, parameters: Tensor) -> Tensor:
        return torch.cat([Sphere.project(part) for part in self.parts(parameters)], -1)

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.cat([Sphere.sample(part, generator) for part in self.parts(like)], -1)

    def log_prob(self, z: Tensor) -> Tensor:
        return sum(map(Sphere.log_prob, self.parts(z)))

    def mix(self, reference: Tensor, z: Tensor, share: float) -> Tensor:
        pairs = zip(self.parts(reference), self.parts(z))
        return torch.cat([Sphere.mix(*pair, share) for pair in pairs], -1)

    def standardiser(self, z: Tensor) -> Map:
        """That of each sphere."""
        maps = [Sphere.standardiser(part) for part in self.parts(z)]

        def to_reference(z):
            parts, log_jacobians = zip(*(of_part(part) for of_part, part in zip(maps, self.parts(z))))
            return torch.cat(parts, -1), sum(log_jacobians)

        return to_reference

    def largest_entropy(self, z: Tensor) -> Tensor:
        return sum(map(Sphere.largest_entropy, self.parts(z)))

    def entropy_of_moments(self, z: Tensor) -> Tensor:
        """At least H(z), by the second moments of u = (r_1 z_1, r_2 z_2, ...), the r independent and distributed as chi
        with D degrees of freedom: H(u) is at most a normal's, and H(z) = H(u) + E log volume of the r. The blocks of
        E u u^T are D E z_i z_i^T and (E r)^2 E z_i z_j^T. Of one sphere it is `Sphere.entropy_of_moments`."""
        count, dim = len(z), z.shape[1] // self.count
        mean = math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
        weights = z.new_full((self.count, self.count), mean**2).fill_diagonal_(dim)
        _, log_volume = _factor(z.T @ z / count * weights.repeat_interleave(dim, 0).repeat_interleave(dim, 1))
        return self.count * log_area(dim) + log_volume - logdet_bias(count + 1, self.count * (dim - 1))

    def unbounded(self, z: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        parts, log_volumes = zip(*(Sphere.unbounded(part, generator) for part in self.parts(z)))
        return torch.cat(parts, -1), sum(log_volumes)


def power(space: type[Space], count: int) -> type[Space] | Spheres:
    """The space of `count` latents joined: of spheres their product, any other space keeps its kind."""
    return Spheres(count) if count > 1 and space.name == "sphere" else space


def join(space: type[Space], latents: Sequence[Tensor]) -> Tensor:
    """Latents of several views, [B, D] each, as one of `power(space, n)`: side by side, [B, n D]; on the simplex the
    probabilities of all combinations of their categories, [B, K^n]."""
    if space.name == Simplex.name:
        return functools.reduce(lambda a, b: (a[:, :, None] * b[:, None]).flatten(1), latents)
    return torch.cat(tuple(latents), 1)


def spheres_of(space: type[Space] | Spheres, z: Tensor) -> tuple[Tensor, ...]:
    """The latents on each sphere, [B, D] each; none where z live in R^D or in the box."""
    if space.name == "spheres":
        return space.parts(z)
    return (z,) if space.name == "sphere" else ()


def log_area(dim: int) -> float:
    """log surface area of the unit sphere in R^dim, nats."""
    return math.log(2) + 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim)


def digamma(x: float) -> float:
    """The derivative of log Gamma at x > 0, without a tensor, of which a GPU's number would have to be waited for.

    By digamma(x) = digamma(x + 1) - 1 / x and, from 15 on, the asymptotic series (Abramowitz & Stegun 6.3.18)."""
    below = 0.0
    while x < 15:
        below, x = below + 1 / x, x + 1
    square = 1 / x**2
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return math.log(x) - 0.5 / x - series - below


@marked("assume_constant_result")
def logdet_bias(count: int, dim: int) -> float:
    """E 1/2 log det of the sample covariance of n = `count` normal samples, less that of their covariance, nats:
    sum_i [digamma((n - i) / 2) - log((n - 1) / 2)] / 2, i = 1..D, by Wishart's law (Ahmed & Gokhale 1989)."""
    free = (max(1, count - i) for i in range(1, dim + 1))
    return 0.5 * math.fsum(digamma(n / 2) - math.log((count - 1) / 2) for n in free)


def cholesky(matrix: Tensor) -> Tensor:
    """The lower factor of [D, D], or NaN, which the NaN guard sees: raising an error would wait for the device."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where(failed > 0, math.nan, factor)


def _factor(moments: Tensor) -> tuple[Tensor, Tensor]:
    """(the Cholesky factor of a covariance plus a ridge, [D, D]; the log of its determinant, [])."""
    ridge = RIDGE * moments.diagonal().mean().detach() + torch.finfo(moments.dtype).tiny
    factor = cholesky(moments + ridge * torch.eye(len(moments), dtype=moments.dtype, device=moments.device))
    return factor, factor.diagonal().log().sum()


def _solve(factor: Tensor, z: Tensor) -> Tensor:
    """Rows L^-1 z."""
    return torch.linalg.solve_triangular(factor, z.T, upper=False).T
