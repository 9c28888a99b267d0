"""Samples of the Laplace distribution."""

import torch
from torch import Tensor


def sample(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Samples of scale 1, with the shape, dtype and device of `like`."""
    sign, size = torch.rand((2, *like.shape), dtype=like.dtype, device=like.device, generator=generator)
    return torch.where(sign < 0.5, -1.0, 1.0) * -torch.log1p(-size)
