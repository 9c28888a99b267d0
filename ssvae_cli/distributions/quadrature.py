"""Gauss-Legendre quadrature, as constants of a compiled graph."""

import functools

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.compiler import marked


def legendre(like: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Nodes in [-1, 1] and weights, [count] each, of the dtype and on the device of `like`."""
    nodes, weights = torch.tensor(_legendre(count), dtype=like.dtype).to(like.device)
    return nodes, weights


@marked("assume_constant_result")
def _legendre(count: int) -> tuple[list[float], list[float]]:
    return _computed(count)


@functools.cache
def _computed(count: int) -> tuple[list[float], list[float]]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes.tolist(), weights.tolist()
