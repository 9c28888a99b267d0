"""The von Mises-Fisher density: its normaliser, accurate in any dimension, and its samples."""

import functools
import math

import torch
from numpy.polynomial import Polynomial
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.compiler import marked
from ssvae_cli.distributions.spaces import SPACES

LEAST_ORDER, TERMS = 30.0, 10  # from this order on the error of the expansion's ten terms is below 1e-14


def log_normaliser(kappa: Tensor, dim: int) -> Tensor:
    """log C_d(kappa), nats, of the density C_d(kappa) exp(kappa mu^T z) on the unit sphere in R^dim; kappa > 0.
    Its gradient is exact too: minus the mean of mu^T z. Computed in float64, the Bessel function by the uniform
    asymptotic expansion (DLMF 10.41.3) at an order of at least 30 and the stable backward recurrence of its ratios."""
    return _LogNormaliser.apply(kappa, dim)


def mean_cosine(kappa: Tensor, dim: int) -> Tensor:
    """E mu^T z under the density, I_{d/2}(kappa) / I_{d/2 - 1}(kappa), float64."""
    return _bessel(kappa.double(), 0.5 * dim - 1)[1]


def sample(mean: Tensor, kappa: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A sample for every row of `mean`, [N, D] of length 1; kappa: []. Source: Wood 1994; Ulrich 1984."""
    count, dim = mean.shape
    k, rest = kappa.item(), dim - 1.0
    b = rest / (2 * k + math.sqrt(4 * k**2 + rest**2))
    x = (1 - b) / (1 + b)
    c = k * x + rest * math.log1p(-(x**2))
    cosine, left = mean.new_empty(count), torch.ones(count, dtype=torch.bool, device=mean.device)
    while left.any():
        n = int(left.sum())
        # A symmetric beta variable is a coordinate of a uniform point on a sphere, so normals suffice.
        normal = torch.randn(n, dim + 1, dtype=torch.float64, device=mean.device, generator=generator)
        beta = 0.5 * (1 + normal[:, 0] * (normal[:, :-1] ** 2).sum(1).rsqrt())
        w = (1 - (1 + b) * beta) / (1 - (1 - b) * beta)
        u = torch.rand(n, dtype=torch.float64, device=mean.device, generator=generator)
        accepted = k * w + rest * torch.log1p(-x * w) - c >= u.log()
        rows = left.nonzero().squeeze(1)[accepted]
        cosine[rows] = w[accepted].to(cosine)
        left[rows] = False
    across = SPACES["euclidean"].sample(mean, generator)
    across = F.normalize(across - (across * mean).sum(1, keepdim=True) * mean)
    return cosine[:, None] * mean + (1 - cosine**2).clamp_min(0).sqrt()[:, None] * across


class _LogNormaliser(torch.autograd.Function):
    @staticmethod
    def forward(ctx, kappa, dim):
        log_ratio, ratio = _bessel(kappa.double(), 0.5 * dim - 1)
        ctx.save_for_backward(ratio.to(kappa))
        return (-log_ratio - 0.5 * dim * math.log(2 * math.pi)).to(kappa)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient * ctx.saved_tensors[0], None


def _bessel(kappa: Tensor, order: float) -> tuple[Tensor, Tensor]:
    """(log I_v(kappa) - v log kappa, I_{v+1}(kappa) / I_v(kappa)) of the order v."""
    steps = max(0, math.ceil(LEAST_ORDER - order))
    scaled = _expansion(kappa, order + steps)
    ratio = kappa * torch.exp(_expansion(kappa, order + steps + 1) - scaled)
    for j in range(steps, 0, -1):
        ratio = 1 / (2 * (order + j) / kappa + ratio)  # I_{v+j} / I_{v+j-1}
        scaled = scaled - (ratio / kappa).log()
    return scaled, ratio


def _expansion(kappa: Tensor, order: float) -> Tensor:
    """log I_v(kappa) - v log kappa for a large order v, the powers of kappa cancelled by hand."""
    root = torch.sqrt(1 + (kappa / order) ** 2)
    p = 1 / root
    # v (root + log(k/v) - log(1 + root)) - v log k, without loss of precision for a small kappa k
    exponent = order * (root - torch.log1p(root) - math.log(order))
    series = torch.zeros_like(p)
    for coefficient in _polynomial(order):
        series = series * p + coefficient
    return exponent - 0.5 * math.log(2 * math.pi * order) - 0.5 * root.log() + series.log()


@marked("assume_constant_result")
def _polynomial(order: float) -> list[float]:
    """The coefficients of sum_k U_k(p) / order^k, of the highest power first."""
    return _computed_polynomial(order)


@functools.cache
def _computed_polynomial(order: float) -> list[float]:
    total = [0.0] * (3 * TERMS + 1)
    for k, u in enumerate(_coefficients()):
        for power, coefficient in u.items():
            total[power] += coefficient / order**k
    return total[::-1]


@functools.cache
def _coefficients() -> list[dict[int, float]]:
    """U_k of DLMF 10.41.9: power of p -> coefficient, without those that are 0."""
    polynomials = [Polynomial([1.0])]
    for _ in range(TERMS):
        u = polynomials[-1]
        polynomials.append(Polynomial([0, 0, 0.5, 0, -0.5]) * u.deriv() + (Polynomial([1, 0, -5]) * u).integ() / 8)
    return [{power: float(c) for power, c in enumerate(u.coef) if c} for u in polynomials]
