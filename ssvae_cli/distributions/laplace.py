"""The Laplace distribution: its samples, and its convolution with a normal."""

import math

import torch
from torch import Tensor
from torch.autograd import Function

IN_CACHE = 2**16  # numbers of a table whose intermediate results a CPU's cache holds


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
        inside = near < 0  # where erfcx(near) = 2 exp(near^2) - erfcx(-near), and its exponential is taken out
        weight = torch.where(inside, torch.exp(-near.square()), 1.0)
        of_far, of_near = weight * torch.special.erfcx(far), weight * torch.special.erfcx(near.abs())
        both = of_far + torch.where(inside, 2 - of_near, of_near)
        exponent = torch.where(inside, ratio * (0.5 * ratio - size), -0.5 * size.square())
        log_p = exponent + torch.log(both / (4 * b))
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
