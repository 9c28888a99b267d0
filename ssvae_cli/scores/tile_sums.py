"""Sums over a table of scores that is computed one tile at a time, and again in the backward pass.

t[i, j] = across(a_i, b_j), where `across` has no parameters; t[i, i], the positives, are left out of every sum."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ssvae_cli.compiler import marked

SIDE = {"cpu": 1024, "cuda": 8192}  # of a tile: fits a CPU's cache; enough work for a GPU


@marked("disable")  # a compiler would unroll this loop of thousands of tiles
def log_sums(a: Tensor, b: Tensor, across: Callable, *, rows: bool, columns: bool) -> tuple[Tensor, Tensor]:
    """(log sum_j e^t[i, j], [B]; log sum_i e^t[i, j], [M]), a: [B, E], b: [M, E]; -inf for a side not asked for."""
    with torch.autocast(a.device.type, enabled=False):
        return _LogSums.apply(a, b, across, rows, columns)


@marked("disable")
def softplus_sum(a: Tensor, b: Tensor, across: Callable) -> Tensor:
    """sum_ij softplus(t[i, j]), [], a: [B, E], b: [M, E]."""
    with torch.autocast(a.device.type, enabled=False):
        return _SoftplusSum.apply(a, b, across)


class _LogSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, across, rows, columns):
        by_row, by_column = (a.new_full((len(side),), -math.inf) for side in (a, b))
        for i, j in _places(a, b):
            tile = _masked(across(a[i], b[j]), i, j, -math.inf)
            if rows:
                by_row[i] = torch.logaddexp(by_row[i], tile.logsumexp(1))
            if columns:
                by_column[j] = torch.logaddexp(by_column[j], tile.logsumexp(0))
        ctx.save_for_backward(a, b, by_row, by_column)
        ctx.across, ctx.rows, ctx.columns = across, rows, columns
        return by_row, by_column

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_row, grad_column):
        a, b, by_row, by_column = ctx.saved_tensors

        def slope(tile, i, j):
            slope = torch.zeros_like(tile)
            if ctx.rows:
                slope += (tile - by_row[i, None]).exp_().mul_(grad_row[i, None])
            if ctx.columns:
                slope += (tile - by_column[j]).exp_().mul_(grad_column[j])
            return slope

        return *_pulled_back(a, b, ctx.across, slope), None, None, None


class _SoftplusSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, across):
        ctx.save_for_backward(a, b)
        ctx.across = across
        return sum(F.softplus(_masked(across(a[i], b[j]), i, j, -math.inf)).sum() for i, j in _places(a, b))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return *_pulled_back(*ctx.saved_tensors, ctx.across, lambda tile, i, j: grad * tile.sigmoid()), None


def _places(a: Tensor, b: Tensor) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each tile."""
    side = SIDE[a.device.type]
    for i in range(0, len(a), side):
        for j in range(0, len(b), side):
            yield slice(i, i + side), slice(j, j + side)


def _masked(tile: Tensor, i: slice, j: slice, value: float) -> Tensor:
    """The tile with its positives set to `value`; they are its diagonal, or outside it."""
    if i.start == j.start:
        tile.diagonal().fill_(value)
    return tile


def _pulled_back(a: Tensor, b: Tensor, across: Callable, slope: Callable) -> tuple[Tensor, Tensor]:
    """The gradients with respect to a and b; slope(tile, i, j): that with respect to a tile's scores."""
    grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)
    for i, j in _places(a, b):
        with torch.enable_grad():
            left, right = (side.detach().requires_grad_() for side in (a[i], b[j]))
            tile = across(left, right)
        weights = _masked(slope(tile.detach(), i, j), i, j, 0.0)
        part_a, part_b = torch.autograd.grad(tile, (left, right), weights)
        grad_a[i] += part_a
        grad_b[j] += part_b
    return grad_a, grad_b
