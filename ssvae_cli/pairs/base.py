"""What a pair generator is to the rest of the program."""

import torch
from omegaconf import DictConfig
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.errors import require, setting_of
from ssvae_cli.instantiate.build import Contract, build

CONTRACT = Contract(
    ("attach", "shapes", "clean", "to_unit"),
    "a pair generator derives from Pairs of ssvae_cli.pairs, and gives (x, x') when called with (batch, generator)",
)


class Pairs:
    """Makes (x, x') of a batch, on the batch's device, for all its samples at once.

    The encoder g sees x of the first of `shapes`, and g' sees x' of the second; where they differ, g' cannot share g's
    weights. All randomness comes from the generator handed in, which lives on the same device. mean, std: images are
    normalised by them, float data are left as they are.
    """

    mean, std = 0.5, 0.25

    def attach(self, data: Data) -> None:
        """Take what is needed of the whole data, before training; refuse, by UserError, data that do not fit."""

    def shapes(self, data: Data) -> tuple[Shape, Shape]:
        """The shapes of one x and of one x' as the encoders get them."""
        return data.shape, data.shape

    def compile(self) -> None:
        """Let torch.compile take what it can."""

    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """-> float32 x [B, ...] and x' [B, ...]."""
        raise NotImplementedError

    def clean(self, batch: Split) -> Tensor:
        """x without chance, as probes read it, float32 [B, ...] of the first of `shapes`."""
        return self.normalise(batch.x)

    def factors(self, batch: Split) -> Tensor | None:
        """The factors behind `clean(batch)`, [B, F]; sequences have them a step, and give those that x ends on."""
        held = batch.factors
        return held if held is None or held.ndim == 2 else held[:, -1]

    def normalise(self, x: Tensor) -> Tensor:
        """Bytes to normalised floats; floats as they are."""
        return (x.float() / 255 - self.mean) / self.std if x.dtype == torch.uint8 else x

    def mi(self, data: Data) -> float | None:
        """I(x; x') of these pairs in nats, where it is known."""
        return None

    def to_unit(self, x: Tensor) -> Tensor:
        """Normalised pixels back to [0, 1], as pictures and explicit decoders take them."""
        return x * self.std + self.mean


def other_side(batch: Split) -> Tensor:
    """What x' is made of: the x' that came along, else x."""
    return batch.x if batch.x_prime is None else batch.x_prime


class Identity(Pairs):
    """(x, x') as the data bring them, with no augmentation: two sensors, two modalities."""

    def attach(self, data: Data) -> None:
        require(
            data.shape_prime is not None,
            "pairs=identity needs data that bring x' along, such as dataset=paired; this data set has x alone",
        )

    def shapes(self, data: Data) -> tuple[Shape, Shape]:
        return data.shape, data.shape_prime

    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.normalise(batch.x), self.normalise(batch.x_prime)


def make_pairs(config: DictConfig, data: Data) -> Pairs:
    """The pair generator of a configuration, attached to the data. Raises UserError where the two do not fit."""
    pairs = build(config, "pairs", CONTRACT)
    with setting_of("pairs", config):
        pairs.attach(data)
    return pairs
