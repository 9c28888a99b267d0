"""The Laplace distribution: its samples, and its convolution with a normal."""

import math

import torch
from numpy.polynomial import Chebyshev, Polynomial
from torch import Tensor
from torch.autograd import Function

IN_CACHE = 2**16  # numbers of a table whose intermediate results a CPU's cache holds
DEGREE, MIDDLE = 20, 3.0  # of erfcx's polynomial: its degree, and the u that lies in the middle of its range


def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Samples of scale 1, with the shape, dtype and device of `like`."""
    sign, size = torch.rand((2, *like.shape), dtype=like.dtype, device=like.device, generator=generator)
    return torch.where(sign < 0.5, -1.0, 1.0) * -torch.log1p(-size)


def log_convolved(x: Tensor, scale: Tensor, std: Tensor) -> Tensor:
    """log density of s + e at x, elementwise, nats: s Laplace of this scale b, e normal of this standard deviation.

    With u = (std / b -+ |x| / std) / sqrt(2) it is -x^2 / (2 std^2) + log(erfcx(u-) + erfcx(u+)) - log 4b. On a CPU a
    large x is read in parts that its cache holds, which takes a third of the time."""
    if x.device.type != "cpu" or x.numel() <= IN_CACHE:
        return _LogConvolved.apply(x, scale, std)
    rows = max(1, IN_CACHE // x[0].numel())
    return torch.cat([_LogConvolved.apply(part, scale, std) for part in x.split(rows)])


class _LogConvolved(Function):
    """In float64, in which nothing cancels that counts. The gradient takes no special function: p = (A + B) / 2b, A and
    B of the two signs of s, has p' = (B - A) / 2b^2; p solves p - b^2 p'' = N(x; 0, std^2), as the Laplace density does
    with a point mass for N; N solves the heat equation, so dp/d std = std p''; and p has the unit of 1 / x."""

    @staticmethod
    def forward(ctx, *leaves):
        x, b, std = (leaf.double() for leaf in leaves)
        size, ratio = x.abs() / std, std / b
        near, far = (ratio - size) / math.sqrt(2), (ratio + size) / math.sqrt(2)
        squared = near.clamp(max=0).square()  # below 0 erfcx(near) is 2 exp(near^2) - erfcx(-near): without exp(near^2)
        weight, side = torch.exp(-squared), near.sign()
        of_far = weight * _erfcx(far)
        both = of_far + (1 - side + side * weight * _erfcx(near.abs()))
        log_p = squared - 0.5 * size.square() + torch.log(both / (4 * b))
        ctx.save_for_backward(*leaves, of_far / both, log_p)
        return log_p.to(leaves[0].dtype)

    @staticmethod
    def backward(ctx, gradient):
        *leaves, far, log_p = ctx.saved_tensors
        x, b, std = (leaf.double() for leaf in leaves)
        of_x = (2 * far - 1) * x.sign() / b
        log_normal = -0.5 * (x / std).square() - torch.log(std * math.sqrt(2 * math.pi))
        of_std = -torch.expm1(log_normal - log_p) * std / b.square()
        of_b = -(1 + x * of_x + std * of_std) / b
        slopes = zip(leaves, (of_x, of_b, of_std))
        return tuple((gradient * slope).sum_to_size(leaf.shape).to(leaf.dtype) for leaf, slope in slopes)


def _interpolated() -> list[float]:
    """Coefficients of (1 + u / m) erfcx(u) in t = (m - u) / (m + u), m = MIDDLE: smooth for u from 0 to infinity."""

    def at(t):
        u = MIDDLE * (1 - t) / (1 + t)
        return torch.special.erfcx(torch.from_numpy(u)).numpy() * (1 + u / MIDDLE)

    return Chebyshev.interpolate(at, DEGREE).convert(kind=Polynomial).coef.tolist()


OF_ERFCX = _interpolated()


def _erfcx(u: Tensor) -> Tensor:
    """erfcx of u >= 0 in float64, to a few of its last digits: in half the time of torch's on a CPU."""
    t = (MIDDLE - u) / (MIDDLE + u)
    value = torch.full_like(u, OF_ERFCX[-1])
    for coefficient in reversed(OF_ERFCX[:-1]):
        value = value.mul_(t).add_(coefficient)
    return value.div_(1 + u / MIDDLE)
