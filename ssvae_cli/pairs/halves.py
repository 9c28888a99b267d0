"""Two halves of one image (Tschannen et al. 2020)."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split, require_images
from ssvae_cli.errors import require
from ssvae_cli.pairs.base import Pairs, other_side, shapes_of_sides
from ssvae_cli.pairs.chain import Chain

AXES = {"top": -2, "left": -1}


class Halves(Chain):
    """x is one half, x' the opposite one; the middle one of an odd number of rows or columns is in neither.

    first: x is the top (x' the bottom) or the left (x' the right). Probes read g of x's half alone, as in that paper.
    """

    def __init__(self, *, first: Literal["top", "left"], then: Pairs):
        super().__init__(then=then)
        self.first, self.axis = first, AXES[first]

    def check(self, data: Data) -> None:
        for shape in shapes_of_sides(data, 2):
            require_images(shape, "pairs=halves", "pairs=context is for sequences, pairs=noise for any shape")
            require(shape[self.axis] >= 2, f"first={self.first}: images of {list(shape)} have no halves")

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        other = other_side(batch)
        return replace(self.still(batch), x_prime=other.narrow(self.axis, -self._half(other), self._half(other)))

    def still(self, batch: Split) -> Split:
        return replace(batch, x=batch.x.narrow(self.axis, 0, self._half(batch.x)))

    def _half(self, x: Tensor) -> int:
        return x.shape[self.axis] // 2
