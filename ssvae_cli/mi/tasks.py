"""Tasks: pairs of samples whose mutual information is known exactly."""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln

from ssvae_cli.errors import require, require_above, require_at_least


class Sample(NamedTuple):
    """x: [N, dx], y: [N, dy], row i of x paired with row i of y; exact: I(x; y) in nats, if known. z: [N, dz]."""

    x: np.ndarray
    y: np.ndarray
    exact: float | None
    z: np.ndarray | None = None


class Task(ABC):
    """A joint distribution."""

    def __init__(self, *, samples: int):
        require_at_least(10, samples=samples)
        self.samples = samples

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Sample:
        """All pairs, and their exact I."""


class Gaussian(Task):
    """x, y standard normal, each x_k correlated with y_k by rho: I = -dim/2 log(1 - rho^2).

    mi: I in nats, which determines rho. power: odd; x and y are raised to it elementwise, which leaves I unchanged."""

    def __init__(self, *, samples: int, dim: int, mi: float, power: int = 1):
        super().__init__(samples=samples)
        require_at_least(1, dim=dim)
        require_at_least(0, mi=mi)
        require(power >= 1 and power % 2 == 1, f"power must be odd and at least 1, got {power}")
        self.dim, self.mi, self.power = dim, mi, power

    def draw(self, rng):
        rho = math.sqrt(-math.expm1(-2 * self.mi / self.dim))
        x, noise = rng.standard_normal((2, self.samples, self.dim))
        y = rho * x + math.sqrt(1 - rho**2) * noise
        return Sample(x**self.power, y**self.power, float(self.mi))


class Student(Task):
    """x and y jointly multivariate Student with df degrees of freedom, uncorrelated: only the radius is shared.

    I = h(dim) + h(dim) - h(2 dim), h(d) the entropy of a Student in d dimensions."""

    def __init__(self, *, samples: int, dim: int, df: float):
        super().__init__(samples=samples)
        require_at_least(1, dim=dim)
        require_above(0, df=df)
        self.dim, self.df = dim, df

    def draw(self, rng):
        both = rng.standard_normal((self.samples, 2 * self.dim))
        both /= np.sqrt(rng.chisquare(self.df, (self.samples, 1)) / self.df)
        exact = 2 * self._entropy(self.dim) - self._entropy(2 * self.dim)
        return Sample(both[:, : self.dim], both[:, self.dim :], exact)

    def _entropy(self, dim: int) -> float:
        half, rest = self.df / 2, (self.df + dim) / 2
        log_constant = 0.5 * dim * math.log(self.df * math.pi) + gammaln(half) - gammaln(rest)
        return float(log_constant + rest * (digamma(rest) - digamma(half)))


class Additive(Task):
    """x ~ U[0, 1], y = x + u, u ~ U[-noise, noise]: I = noise - log(2 noise) if noise < 1/2, else 1 / (4 noise)."""

    def __init__(self, *, samples: int, noise: float):
        super().__init__(samples=samples)
        require_above(0, noise=noise)
        self.noise = noise

    def draw(self, rng):
        x = rng.uniform(size=(self.samples, 1))
        y = x + rng.uniform(-self.noise, self.noise, size=x.shape)
        return Sample(x, y, self.noise - math.log(2 * self.noise) if self.noise < 0.5 else 0.25 / self.noise)


class Spiral(Task):
    """The Gaussian task, x and y each rotated in the plane of their first two coordinates by the angle speed |x|^2.

    The angle differs between points, so the result is not Gaussian; I is unchanged."""

    def __init__(self, *, samples: int, dim: int, mi: float, speed: float):
        super().__init__(samples=samples)
        require_at_least(2, dim=dim)
        self.base, self.speed = Gaussian(samples=samples, dim=dim, mi=mi), speed

    def draw(self, rng):
        x, y, exact, _ = self.base.draw(rng)
        return Sample(self._rotated(x), self._rotated(y), exact)

    def _rotated(self, x: np.ndarray) -> np.ndarray:
        plane = (x[:, 0] + 1j * x[:, 1]) * np.exp(1j * (self.speed * (x**2).sum(1)))
        return np.column_stack([plane.real, plane.imag, x[:, 2:]])
