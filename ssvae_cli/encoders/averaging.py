"""Exponential moving averages of weights."""

import torch
from torch import nn


@torch.no_grad()
def move_towards(average: nn.Module, network: nn.Module, share: float) -> None:
    """average <- (1 - share) average + share network, for each parameter; buffers stay."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), share)
