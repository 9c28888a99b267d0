"""Covariances of samples: their Cholesky factors, and the bias of the log of their determinant."""

import math

import torch
from torch import Tensor

from ssvae_cli.compiler import marked

RIDGE = 1e-6  # times the mean variance; keeps results finite for fewer samples than dimensions and for dead units


def cholesky(matrix: Tensor) -> Tensor:
    """The lower factor of [D, D], or NaN, which the NaN guard sees: raising an error would wait for the device."""
    factor, failed = torch.linalg.cholesky_ex(matrix)
    return torch.where(failed > 0, math.nan, factor)


def factor_of(moments: Tensor) -> tuple[Tensor, Tensor]:
    """(The Cholesky factor of a covariance plus a ridge, [D, D]; the log of the factor's determinant, [])."""
    ridge = RIDGE * moments.diagonal().mean().detach() + torch.finfo(moments.dtype).tiny
    factor = cholesky(moments + ridge * torch.eye(len(moments), dtype=moments.dtype, device=moments.device))
    return factor, factor.diagonal().log().sum()


def solve(factor: Tensor, z: Tensor) -> Tensor:
    """Rows L^-1 z."""
    return torch.linalg.solve_triangular(factor, z.T, upper=False).T


@marked("assume_constant_result")
def logdet_bias(count: int, dim: int) -> float:
    """E 1/2 log det of the sample covariance of n = `count` normal samples, less that of their covariance, nats:
    sum_i [digamma((n - i) / 2) - log((n - 1) / 2)] / 2, i = 1..D, by Wishart's law (Ahmed & Gokhale 1989)."""
    free = (max(1, count - i) for i in range(1, dim + 1))
    return 0.5 * math.fsum(digamma(n / 2) - math.log((count - 1) / 2) for n in free)


def digamma(x: float) -> float:
    """The derivative of log Gamma at x > 0, without a tensor, of which a GPU's number would have to be waited for.

    By digamma(x) = digamma(x + 1) - 1 / x and, from 15 on, the asymptotic series (Abramowitz & Stegun 6.3.18)."""
    below = 0.0
    while x < 15:
        below, x = below + 1 / x, x + 1
    square = 1 / x**2
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return math.log(x) - 0.5 / x - series - below
