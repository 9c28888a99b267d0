"""Some of many rows, the same ones each time: what is too dear to read on all."""

import torch
from torch import Tensor


def spread(count: int, most: int, device=None) -> Tensor:
    """At most `most` of the rows 0 to count - 1, evenly spread, first and last included: [min(count, most)]."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64, device=device).round().long()
