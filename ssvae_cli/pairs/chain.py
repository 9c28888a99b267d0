"""Pair generators in sequence: one makes the views, the next transforms each of them (halves, then augment)."""

import copy
from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.errors import setting_of
from ssvae_cli.instantiate.build import parameters
from ssvae_cli.pairs.base import Pairs


class Chain(Pairs):
    """Makes x and x', unnormalised like the data, for the generator `then`; x' derives from the batch's x', if any."""

    def __init__(self, *, then: Pairs):
        self.then = then

    def places(self, data: Data) -> int:
        return self.then.places(self._after(data))

    @abstractmethod
    def make(self, batch: Split, generator: torch.Generator) -> Split:
        """The batch with its pair (x, x'), and with `further` views of more than two."""

    def example(self, batch: Split) -> Split:
        """A batch of the shapes of `make`. A generator that draws x' from what it took of the data in `check` gives
        them without: `ssvae embed` reads other data, which have no x'."""
        return self.make(batch, torch.Generator(batch.x.device).manual_seed(0))

    def still(self, batch: Split) -> Split:
        """The batch with the x that probes read, without random draws."""
        return batch

    def check(self, data: Data) -> None:
        """Take what is needed from the data. Raises UserError for data that do not fit."""

    def attach(self, data: Data) -> None:
        self.check(data)
        pairs = self._after(data)
        with setting_of("then", parameters(type(self.then))):
            self.then.attach(pairs)

    def shapes(self, data: Data) -> tuple[Shape, ...]:
        shapes = self.then.shapes(self._after(data))
        return shapes[: len(shapes) - self.times]

    def compiled(self) -> Pairs:
        chain = copy.copy(self)
        chain.then = self.then.compiled()
        return chain

    @torch.no_grad()
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, ...]:
        return self.then(self.make(batch, generator), generator)

    def clean(self, batch: Split) -> Tensor:
        return self.then.clean(self.still(batch))

    def to_unit(self, x: Tensor) -> Tensor:
        return self.then.to_unit(x)

    def _after(self, data: Data) -> Data:
        """Data of the shapes that `then` gets, with a single pair to train on."""
        one = next(data.train.rows(slice(0, 1)).batches(1))
        return replace(data, train=self.example(one))
