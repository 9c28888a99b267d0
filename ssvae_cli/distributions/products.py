"""The space of several latents joined: what a joint decoder sees of n views."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssvae_cli.distributions.covariance import factor_of, logdet_bias
from ssvae_cli.distributions.spaces import Map, Simplex, Space, Sphere, log_area


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

    def least_samples(self, dim: int) -> int:
        return Sphere.least_samples(dim // self.count)

    def largest_entropy(self, z: Tensor) -> Tensor:
        return sum(map(Sphere.largest_entropy, self.parts(z)))

    def entropy_of_moments(self, z: Tensor) -> Tensor:
        """At least H(z), by the second moments of u = (r_1 z_1, r_2 z_2, ...), the r independent and distributed as chi
        with D degrees of freedom: H(u) is at most a normal's, and H(z) = H(u) + E log volume of the r. The blocks of
        E u u^T are D E z_i z_i^T and (E r)^2 E z_i z_j^T. Of one sphere it is `Sphere.entropy_of_moments`."""
        count, dim = len(z), z.shape[1] // self.count
        mean = math.sqrt(2) * math.exp(math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))
        weights = z.new_full((self.count, self.count), mean**2).fill_diagonal_(dim)
        _, log_volume = factor_of(z.T @ z / count * weights.repeat_interleave(dim, 0).repeat_interleave(dim, 1))
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
