"""Pair generators in turn: one makes x and x', the next does its part to each (halves, then augment)."""

from dataclasses import replace

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.errors import setting_of
from ssvae_cli.instantiate.build import parameters
from ssvae_cli.pairs.base import Pairs


class Chain(Pairs):
    """Makes a batch whose x and x' are the pair, as raw as the data, and hands it to the pair generator `then`.

    One that finds x' in its batch takes that as the other side, so that makers can follow one another.
    """

    def __init__(self, *, then: Pairs):
        self.then = then

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        """The batch with x and x' made."""
        raise NotImplementedError

    def still(self, batch: Split) -> Split:
        """The batch with the x, without chance, that probes read."""
        return batch

    def check(self, data: Data) -> None:
        """Take what is needed of the data; refuse, by UserError, those that do not fit."""

    def attach(self, data: Data) -> None:
        self.check(data)
        after = self._after(data)
        with setting_of("then", parameters(type(self.then))):
            self.then.attach(after)

    def shapes(self, data: Data) -> tuple[Shape, Shape]:
        return self.then.shapes(self._after(data))

    def compile(self) -> None:
        self.then.compile()

    @torch.no_grad()
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.then(self.make(batch, generator), generator)

    def clean(self, batch: Split) -> Tensor:
        return self.then.clean(self.still(batch))

    def to_unit(self, x: Tensor) -> Tensor:
        return self.then.to_unit(x)

    def _after(self, data: Data) -> Data:
        """Data of the shapes that `then` meets: one pair, made."""
        one = next(data.train.rows(slice(0, 1)).batches(1))
        return replace(data, train=self.make(one, torch.Generator(one.x.device).manual_seed(0)))
