"""The linear encoder's backbone: x itself."""

import math

from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape


class Flatten(nn.Module):
    """x, flattened: with projector=[] z is a linear map of x, and the features that probes read are x."""

    def __init__(self, *, shape: Shape):
        super().__init__()
        self.out_dim = math.prod(shape)

    def forward(self, x: Tensor) -> Tensor:
        """[B, *shape] -> [B, out_dim]."""
        return x.flatten(1)
