"""Gauss-Legendre quadrature, as constants of a compiled graph."""

import functools

import numpy as np
from torch import Tensor

from ssvae_cli.compiler import marked


def legendre(like: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Nodes in [-1, 1] and weights, [count] each, of the dtype and on the device of `like`."""
    nodes, weights = _legendre(count)
    return like.new_tensor(nodes), like.new_tensor(weights)


@marked("assume_constant_result")
def _legendre(count: int) -> tuple[list[float], list[float]]:
    return _computed(count)


@functools.cache
def _computed(count: int) -> tuple[list[float], list[float]]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes.tolist(), weights.tolist()
