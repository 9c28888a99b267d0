"""The Laplace distribution: its samples, and its convolution with a normal."""

import math

import torch
from torch import Tensor


def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Samples of scale 1, with the shape, dtype and device of `like`."""
    sign, size = torch.rand((2, *like.shape), dtype=like.dtype, device=like.device, generator=generator)
    return torch.where(sign < 0.5, -1.0, 1.0) * -torch.log1p(-size)


def log_convolved(x: Tensor, scale: Tensor, std: Tensor) -> Tensor:
    """log density of s + e at x, elementwise, nats: s Laplace of this scale, e normal of this standard deviation.

    The sum over the two signs of s of exp(std^2 / (2 scale^2) -+ x / scale) Phi(+-x / std - std / scale) / (2 scale).
    Where Phi is small it is written with erfcx, in which the exponentials cancel by hand."""
    sides = [_log_side(sign * x / std, std / scale) for sign in (1, -1)]
    return torch.logaddexp(*sides) - torch.log(2 * scale)


def _log_side(x: Tensor, ratio: Tensor) -> Tensor:
    """ratio^2 / 2 - ratio x + log Phi(x - ratio)."""
    u = (ratio - x) / math.sqrt(2)
    inside = 0.5 * ratio**2 - ratio * x + torch.special.log_ndtr((x - ratio).clamp_min(0))
    return torch.where(u > 0, -0.5 * x**2 + _log_erfcx(u.clamp_min(0)) - math.log(2), inside)


def _log_erfcx(u: Tensor) -> Tensor:
    """log of erfcx(u) = exp(u^2) erfc(u), u at least 0; for a large u by its asymptotic series (DLMF 7.12.1), as the
    derivative of erfcx cancels there."""
    large = u.clamp_min(8.0)
    v = 0.5 / large**2
    series = torch.log1p(-v * (1 - 3 * v * (1 - 5 * v * (1 - 7 * v)))) - torch.log(large * math.sqrt(math.pi))
    return torch.where(u > 8.0, series, torch.special.erfcx(u.clamp_max(8.0)).log())
