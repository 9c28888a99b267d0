"""A multilayer perceptron over whatever one x is."""

import math

from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape
from ssvae_cli.layers import require_widths


class MLP(nn.Module):
    """x, flattened, through hidden layers with batch norm and ReLU."""

    def __init__(self, *, shape: Shape, hidden: list[int]):
        super().__init__()
        require_widths("hidden", hidden)
        layers: list[nn.Module] = []
        width = math.prod(shape)
        for out in hidden:
            layers += [nn.Linear(width, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()]
            width = out
        self.layers = nn.Sequential(*layers)
        self.out_dim = width

    def forward(self, x: Tensor) -> Tensor:
        """[B, *shape] -> [B, out_dim]."""
        return self.layers(x.flatten(1))
