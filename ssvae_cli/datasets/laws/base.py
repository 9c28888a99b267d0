"""What a law of latents answers: samples of z, of z' given z, its mutual information, its parameters."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Factor
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import agreeing, counted, require, require_at_least

SAMPLES, CHUNK = 200_000, 20_000  # of an estimated I
PerDimension = float | list[float]  # a number for all dimensions, a list of one each, or the two ends of a range


class Drawn(NamedTuple):
    """Samples of z, and what z' depends on besides z."""

    z: Tensor  # [N, D]
    shared: Tensor | None = None  # [N, ...]; int64 [N]: a class, which is also the label
    label: Tensor | None = None  # int64 [N]


class Law(nn.Module, ABC):
    """P(z, z') in `dim` dimensions; a chain is z_1 ~ P(z), z_(t+1) ~ P(z'|z_t).

    truth: the parameters, by the names that the prior of the same law gives them; a list where each dimension has its
    own. stationary: z' is distributed as z. markov: z' depends on a chain's past through the last z alone.
    """

    stationary = True
    markov = True
    classes = 0  # number of labels
    truth: dict[str, Any]

    def __init__(self, *, dim: int):
        super().__init__()
        require_at_least(1, dim=dim)
        self.dim = dim

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Drawn:
        """`count` samples of P(z), on the CPU."""

    @abstractmethod
    def partner(self, z: Tensor, shared: Tensor | None, generator: torch.Generator) -> Tensor:
        """A fresh z' for every z, [B, D]; shared: as drawn with z."""

    def information(self) -> tuple[float, float] | None:
        """(I(z; z') in nats, its standard error, 0 where it is exact); None where it is not known."""
        return None

    def factors(self) -> tuple[Factor, ...]:
        """The coordinates of z."""
        return tuple(Factor(f"z{i}") for i in range(self.dim))


def like(random: Callable[..., Tensor], z: Tensor, generator: torch.Generator, dtype: torch.dtype | None = None):
    """random numbers in the shape of z, [B, D], on its device: torch.rand or torch.randn, the same on every rank."""
    return draw_rows(random, *z.shape, dtype=dtype or z.dtype, device=z.device, generator=generator)


def sample_information(law: Law, log_ratio: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
    """(I(z; z') in nats, its standard error): the mean of log P(z, z') / P(z) P(z') over samples of a fixed seed."""
    generator, values = torch.Generator().manual_seed(0), []
    for _ in range(SAMPLES // CHUNK):
        z, shared, _ = law.sample(CHUNK, generator)
        values.append(log_ratio(z, law.partner(z, shared, generator)))
    ratio = torch.cat(values)
    return ratio.mean().item(), ratio.std().item() / math.sqrt(len(ratio))


def per_dimension(name: str, value: PerDimension, dim: int, count: str = "dim") -> Tensor:
    """A setting for each of the dimensions, float64 [D]. Raises UserError for a list of another length, by the name of
    their `count`."""
    if not isinstance(value, list):
        return torch.full((dim,), float(value), dtype=torch.float64)
    wanted = f"a number, a list of {count}={dim} {agreeing(dim, 'number')}, or the two ends of an evenly spaced range"
    require(len(value) in {dim, min(2, dim)}, f"{name} must be {wanted}; got {counted(len(value), 'number')}")
    if len(value) == dim:
        return torch.tensor(value, dtype=torch.float64)
    return torch.linspace(*value, dim, dtype=torch.float64)


def positive(name: str, value: PerDimension, dim: int) -> Tensor:
    """As `per_dimension`, all above 0."""
    values = per_dimension(name, value, dim)
    require(bool((values > 0).all()), f"{name} must be above 0, got {value}")
    return values
