"""Small pieces that several networks share."""

import math

from torch import nn

from ssvae_cli.errors import require


def mlp(widths: list[int]) -> nn.Sequential:
    """Linear layers of these `widths`, input first, with ReLU between them."""
    layers: list[nn.Module] = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolutions(shape: tuple[int, int, int], width: int, out: int) -> nn.Sequential:
    """[B, C * H * W] -> [B, out]: two 3x3 convolutions of `width` and twice as many channels, a linear layer.

    shape: C, H, W. Each convolution halves the size; what is left is pooled to 4x4 at most."""
    channels, height, side = shape
    pooled = min(4, -(-height // 4)), min(4, -(-side // 4))
    layers = [nn.Unflatten(1, shape)]
    for inner in (width, 2 * width):
        layers += [nn.Conv2d(channels, inner, 3, 2, 1), nn.ReLU()]
        channels = inner
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(pooled), nn.Flatten(), nn.Linear(channels * math.prod(pooled), out)
    )


def batch_normed(widths: list[int]) -> list[nn.Module]:
    """Linear layers of these `widths`, input first, each followed by batch norm and ReLU."""
    layers: list[nn.Module] = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o, bias=False), nn.BatchNorm1d(o), nn.ReLU()]
    return layers


def require_widths(name: str, widths: list[int], *, at_least: int = 1) -> None:
    """Raise UserError unless the setting `name` lists at least `at_least` layer widths, each at least 1."""
    valid = len(widths) >= at_least and all(width >= 1 for width in widths)
    count = f", {at_least} or more of them" if at_least else ""
    require(valid, f"{name} must be layer widths of at least 1{count}, got {list(widths)}")
