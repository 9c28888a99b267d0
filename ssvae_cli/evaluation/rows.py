"""A fixed, evenly spaced subset of rows, for metrics too expensive on all of them."""

import torch
from torch import Tensor


def evenly_spaced(count: int, at_most: int, device=None) -> Tensor:
    """At most `at_most` of the rows 0 to count - 1, evenly spaced, first and last included: [min(count, at_most)]."""
    return torch.linspace(0, count - 1, min(count, at_most), dtype=torch.float64, device=device).round().long()
