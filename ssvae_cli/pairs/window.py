"""Consecutive steps of a sequence, each its own view: a prior of n latents is then one of whole windows."""

from dataclasses import replace
from typing import Literal

import torch

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import require_at_least
from ssvae_cli.pairs.base import Identity, Pairs
from ssvae_cli.pairs.chain import Chain
from ssvae_cli.pairs.steps import other_times, random_starts, require_steps, require_times
from ssvae_cli.scores.other_times import Negatives

encodes_steps = True  # g sees a single step, not a window of them: data sets of sequences bring the encoder of one


class Window(Chain):
    """The views are `length` steps of a sequence from a random start, each `step` after the one before; g sees one.

    read: what probes read of a sequence: g of its `last` step, or the `mean` of g's features over its steps; None: last
    where the data have factors at each step, else the mean. negatives: a critic's candidates for z_1 in training are of
    other sequences, of `times` other times of the same one, or both.
    """

    within_length = True

    def __init__(
        self,
        *,
        length: int,
        step: int,
        read: Literal["last", "mean"] | None,
        then: Pairs,
        negatives: Negatives = "across",
        times: int = 8,
    ):
        super().__init__(then=then)
        self.times = require_times(times, negatives)
        require_at_least(2, length=length)
        require_at_least(1, step=step)
        self.length, self.step, self.read = length, step, read
        self.steps = (length - 1) * step + 1  # of the sequence, from the first view to the last

    def check(self, data: Data) -> None:
        others = " and another time" if self.times else ""
        needed = f"length={self.length} and step={self.step}{others}"
        require_steps(data, "pairs=window", self.steps + bool(self.times), needed)

    def require_readable(self, data: Data) -> None:
        require_steps(data, "pairs=window", 1, "a single step")

    def places(self, data: Data) -> int:
        return data.shape[0]

    def mi(self, data: Data) -> float | None:
        neighbours = self.length == 2 and self.step == 1 and isinstance(self.then, Identity)
        return data.mi if neighbours else None

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        sample = torch.arange(len(batch), device=batch.x.device)[:, None]
        places = self.step * torch.arange(self.length, device=batch.x.device)
        start = random_starts(batch, self.steps, generator)
        x, x_prime, *further = batch.x[sample, start[:, None] + places].unbind(1)
        others = other_times(batch, start, self.steps, self.times, generator) if self.times else ()
        return replace(batch, x=x, x_prime=x_prime, further=(*further, *others))

    def still(self, batch: Split) -> Split:
        """x: [B, ...] of the last step, or [B, T, ...]: T steps evenly spaced within each sequence's length."""
        sample = torch.arange(batch.x.shape[0], device=batch.x.device)
        known = batch.factors is not None and batch.factors.ndim == 3
        if self.read == "last" or (self.read is None and known):
            return replace(batch, x=batch.x[sample, batch.lengths - 1])
        steps = batch.x.shape[1]
        places = torch.arange(steps, device=batch.x.device) * batch.lengths[:, None] // steps
        return replace(batch, x=batch.x[sample[:, None], places])
