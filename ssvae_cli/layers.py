"""Small pieces that several networks share."""

from torch import nn

from ssvae_cli.errors import require


def mlp(widths: list[int]) -> nn.Sequential:
    """Linear layers of these `widths`, input first, with ReLU between them."""
    layers: list[nn.Module] = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


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
