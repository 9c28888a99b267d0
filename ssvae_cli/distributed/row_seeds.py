"""Random numbers of single rows: each row of a batch has a seed, and its numbers follow from it, wherever it is drawn.

The generator is SplitMix64 (Steele, Lea & Flood 2014) as a function of a counter, in integer operations that every
device has: the numbers are the same on all of them, and nothing waits."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

PIECE = 2**16  # numbers that are computed at once, in a cache
STEP, FIRST, SECOND = (c - 2**64 for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def uniform(bits: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Integers below `count`, a power of two -> [0, 1)."""
    return bits.to(dtype).div_(count)


def normal(bits: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """The same -> N(0, 1), by its quantiles at the middles of `count` equal shares."""
    return bits.mul_(2).add_(1 - count).to(dtype).div_(count).erfinv_().mul_(math.sqrt(2))


KINDS: dict[Callable, Callable[[Tensor, int, torch.dtype], Tensor]] = {torch.rand: uniform, torch.randn: normal}


def of_seeds(random: Callable, seeds: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """As random(rows, *shape), of torch.rand or torch.randn, by the rows' seeds: int64 [rows] -> [rows, *shape].

    float32 has 23 random bits, so that a normal number lies within 5.3; float64 has 52."""
    dtype, numbers = dtype or torch.get_default_dtype(), math.prod(shape)
    digits = 52 if dtype == torch.float64 else 23
    counter = torch.arange(1, numbers + 1, device=seeds.device) * STEP
    pieces = []
    for keys in seeds.split(max(1, PIECE // max(1, numbers))):
        bits = shifted(mixed(keys[:, None] + counter), 64 - digits)
        pieces.append(KINDS[random](bits, 2**digits, dtype))
    return torch.cat(pieces).view(len(seeds), *shape)


def mixed(z: Tensor) -> Tensor:
    """SplitMix64's finaliser, int64 -> int64."""
    z = shifted(z, 30).bitwise_xor_(z).mul_(FIRST)
    z = shifted(z, 27).bitwise_xor_(z).mul_(SECOND)
    return shifted(z, 31).bitwise_xor_(z)


def shifted(z: Tensor, places: int) -> Tensor:
    """int64 as 64 bits, moved right; zeros come in from the left."""
    return (z >> places).bitwise_and_(2 ** (64 - places) - 1)
