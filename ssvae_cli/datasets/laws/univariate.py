"""Symmetric laws of one variable at scale 1, from which sources, steps and noise are made."""

import math
from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import torch
from scipy import special
from torch import Tensor, nn

from ssvae_cli.errors import require_at_least

LEAST = 1e-12  # of a probability whose quantile is asked for
TABLE = 2**14  # cells in which Student's distribution function is linear


class Univariate(nn.Module, ABC):
    """Elementwise and in float64."""

    entropy: float  # nats

    @abstractmethod
    def log_density(self, x: Tensor) -> Tensor:
        """Nats."""

    @abstractmethod
    def cdf(self, x: Tensor) -> Tensor:
        """The distribution function."""

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        """Its inverse."""


class Normal(Univariate):
    """N(0, 1)."""

    entropy = 0.5 * math.log(2 * math.pi * math.e)

    def log_density(self, x):
        return -0.5 * (x**2 + math.log(2 * math.pi))

    def cdf(self, x):
        return torch.special.ndtr(x)

    def quantile(self, u):
        return torch.special.ndtri(u.clamp(LEAST, 1 - LEAST))


class Laplace(Univariate):
    """exp(-|x|) / 2."""

    entropy = 1 + math.log(2)

    def log_density(self, x):
        return -x.abs() - math.log(2)

    def cdf(self, x):
        return torch.where(x < 0, 0.5 * x.clamp(max=0).exp(), 1 - 0.5 * (-x.clamp(min=0)).exp())

    def quantile(self, u):
        u = u.clamp(LEAST, 1 - LEAST)
        return -(u - 0.5).sign() * torch.log1p(-2 * (u - 0.5).abs())


class Uniform(Univariate):
    """Uniform on [-1, 1]."""

    entropy = math.log(2)

    def log_density(self, x):
        return torch.where(x.abs() <= 1, -math.log(2), -math.inf)

    def cdf(self, x):
        return (0.5 + 0.5 * x).clamp(0, 1)

    def quantile(self, u):
        return 2 * u - 1


class Student(Univariate):
    """Student's t with `df` degrees of freedom, at least 0.5.
    Its distribution function and the inverse are linear between the rows of a table, even in asinh(x)."""

    def __init__(self, df: float):
        super().__init__()
        require_at_least(0.5, df=df)
        self.df = df
        half, one_more = 0.5 * df, 0.5 * (df + 1)
        self.log_constant = math.lgamma(one_more) - math.lgamma(half) - 0.5 * math.log(df * math.pi)
        self.entropy = one_more * (special.digamma(one_more) - special.digamma(half)) - self.log_constant
        end = math.asinh(-special.stdtrit(df, LEAST))
        at = np.linspace(-end, end, TABLE + 1)
        self.register_buffer("at", torch.from_numpy(at))  # asinh(x)
        self.register_buffer("table", torch.from_numpy(special.stdtr(df, np.sinh(at))))

    def log_density(self, x):
        return self.log_constant - 0.5 * (self.df + 1) * torch.log1p(x**2 / self.df)

    def cdf(self, x):
        return _between(torch.asinh(x), self.at, self.table)

    def quantile(self, u):
        return torch.sinh(_between(u, self.table, self.at))


def _between(x: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Linear interpolation of `values` at increasing places `at`, constant beyond them."""
    x = x.clamp(at[0], at[-1]).contiguous()
    right = torch.searchsorted(at, x).clamp(1, len(at) - 1)
    low, high = at[right - 1], at[right]
    return torch.lerp(values[right - 1], values[right], (x - low) / (high - low).clamp_min(1e-300))


Name = Literal["normal", "laplace", "student", "uniform"]


def univariate(name: Name, df: float) -> Univariate:
    """By name; df: of Student's t."""
    return Student(df) if name == "student" else {"normal": Normal, "laplace": Laplace, "uniform": Uniform}[name]()
