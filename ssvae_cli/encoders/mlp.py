"""A multilayer perceptron over pixels."""

import math

from torch import Tensor, nn

from ssvae_cli.errors import require


class MLP(nn.Module):
    """Flattened pixels through hidden layers with batch norm and ReLU."""

    def __init__(self, *, image_shape: tuple[int, int, int], hidden: list[int]):
        super().__init__()
        require(
            len(hidden) > 0 and min(hidden) >= 1, f"encoder.backbone.hidden must be widths of at least 1, got {hidden}"
        )
        layers: list[nn.Module] = []
        width = math.prod(image_shape)
        for out in hidden:
            layers += [nn.Linear(width, out, bias=False), nn.BatchNorm1d(out), nn.ReLU()]
            width = out
        self.layers = nn.Sequential(*layers)
        self.out_dim = width

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_dim]."""
        return self.layers(x.flatten(1))
