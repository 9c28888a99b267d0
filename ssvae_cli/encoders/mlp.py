"""A multilayer perceptron for any shape of x."""

import math

from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape
from ssvae_cli.layers import batch_normed, require_widths


class MLP(nn.Module):
    """x, flattened, through hidden layers with batch norm and ReLU."""

    def __init__(self, *, shape: Shape, hidden: list[int]):
        super().__init__()
        require_widths("hidden", hidden)
        self.layers = nn.Sequential(*batch_normed([math.prod(shape), *hidden]))
        self.out_dim = hidden[-1]

    def forward(self, x: Tensor) -> Tensor:
        """[B, *shape] -> [B, out_dim]."""
        return self.layers(x.flatten(1))
