"""What a pair generator is to the rest of the program."""

from abc import ABC, abstractmethod

import torch
from omegaconf import DictConfig
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.device import floats
from ssvae_cli.errors import require, setting_of
from ssvae_cli.instantiate.build import Contract, build

CONTRACT = Contract(
    ("attach", "shapes", "clean", "to_unit"),
    "a pair generator derives from Pairs of ssvae_cli.pairs, and gives (x, x') when called with (batch, generator)",
)


class Pairs(ABC):
    """Computes (x, x') from a batch, on the batch's device, for all its samples at once.

    The encoder g sees x in the first of `shapes`, and g' sees x' in the second; if they differ, g' cannot share g's
    weights. All randomness comes from the generator passed in, which is on the same device. mean, std: they normalise
    images; float data stay unchanged.
    """

    mean, std = 0.5, 0.25

    def attach(self, data: Data) -> None:
        """Take what is needed from the data, before training. Raises UserError for data that do not fit."""

    def shapes(self, data: Data) -> tuple[Shape, Shape]:
        """The shapes of one x and of one x', as the encoders get them."""
        return data.shape, data.shape

    def compile(self) -> None:
        """Compile by torch.compile what can be compiled."""

    @abstractmethod
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """-> x [B, ...] and x' [B, ...], in the run's floats."""

    def clean(self, batch: Split) -> Tensor:
        """x without random augmentation, as probes read it, [B, ...] in the first of `shapes`."""
        return self.normalise(batch.x)

    def factors(self, batch: Split) -> Tensor | None:
        """The factors of `clean(batch)`, [B, F]; for sequences, those of the last step."""
        factors = batch.factors
        return factors if factors is None or factors.ndim == 2 else factors[:, -1]

    def normalise(self, x: Tensor) -> Tensor:
        """Bytes to normalised floats; floats unchanged."""
        return (floats(x) / 255 - self.mean) / self.std if x.dtype == torch.uint8 else x

    def mi(self, data: Data) -> float | None:
        """I(x; x') of these pairs in nats, None if unknown."""
        return None

    def to_unit(self, x: Tensor) -> Tensor:
        """Normalised pixels back to [0, 1], for figures and explicit decoders."""
        return x * self.std + self.mean


def other_side(batch: Split) -> Tensor:
    """What x' is computed from: the x' of the batch, else x."""
    return batch.x if batch.x_prime is None else batch.x_prime


class Identity(Pairs):
    """The data's own (x, x'), with no augmentation: two sensors, two modalities."""

    def attach(self, data: Data) -> None:
        wanted = "data with their own x', such as dataset=paired; this data set has x alone"
        require(data.shape_prime is not None, f"pairs=identity needs {wanted}")

    def shapes(self, data: Data) -> tuple[Shape, Shape]:
        return data.shape, data.shape_prime

    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.normalise(batch.x), self.normalise(batch.x_prime)


def make_pairs(config: DictConfig, data: Data) -> Pairs:
    """The pair generator of a configuration, attached to the data. Raises UserError if the two do not fit."""
    pairs = build(config, "pairs", CONTRACT)
    with setting_of("pairs", config):
        pairs.attach(data)
    return pairs
