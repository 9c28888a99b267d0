"""Which pairs train and which are held out: at random, or in blocks for rows that depend on their neighbours."""

import copy
import logging

import torch
from torch import Tensor

from ssvae_cli.errors import require, require_at_least

log = logging.getLogger(__name__)

Rows = Tensor  # row numbers


class Split:
    """At random, for independent pairs.

    validation, test: fractions of all pairs for choosing a training step and for the final estimate; at_most: pairs in
    each, as a table of scores grows with their square. folds: of cross-fitting, where every pair is held out once.
    """

    gap = 0  # rows up to which pairs depend on each other
    independent = True  # pairs are taken to be so

    def __init__(self, *, validation: float, test: float, at_most: int, folds: int):
        for name, fraction in (("validation", validation), ("test", test)):
            require(0 < fraction < 0.5, f"{name} must lie between 0 and 0.5, got {fraction}")
        require_at_least(3, at_most=at_most)
        require_at_least(2, folds=folds)
        self.validation, self.test, self.at_most, self.number = validation, test, at_most, folds

    def check(self, count: int) -> None:
        """Raise UserError where so many rows leave none to train on."""

    def parts(self, count: int, generator: torch.Generator) -> tuple[Rows, Rows, Rows]:
        """(train, validation, test)."""
        sizes = [min(max(3, int(share * count)), self.at_most) for share in (self.validation, self.test)]
        validation, test, train = torch.randperm(count, generator=generator).split([*sizes, count - sum(sizes)])
        return train, validation, test

    def folds(self, count: int, generator: torch.Generator) -> list[tuple[Rows, Rows]]:
        """(the rest, the fold) for each fold."""
        chunks = torch.randperm(count, generator=generator).chunk(self.number)
        return [(torch.cat([*chunks[:i], *chunks[i + 1 :]]), chunk) for i, chunk in enumerate(chunks)]

    def part_of(self, count: int, size: int, generator: torch.Generator) -> tuple[Rows, "Split"]:
        """At most `size` rows that are like all of them, and how these are split."""
        return torch.randperm(count, generator=generator)[:size], self

    def of_shuffled(self) -> "Split":
        """How rows in random order are split: none depends on its neighbours."""
        return self

    def groups(self, count: int) -> Tensor:
        """The number of the group of each row; groups are independent of each other, for standard errors."""
        return torch.arange(count)


class Blocks(Split):
    """For time series: contiguous rows are held out, and rows within `gap` of them are not trained on, or neighbours.

    Validation is of the first rows, test of the last; where these are more than `at_most`, every second counts, or
    every third and so on. Standard errors count blocks instead of pairs. blocks: of equal length, at least 10, each
    longer than rows stay dependent. gap: in rows."""

    independent = False

    def __init__(self, *, validation: float, test: float, at_most: int, folds: int, blocks: int, gap: int):
        super().__init__(validation=validation, test=test, at_most=at_most, folds=folds)
        require_at_least(10, blocks=blocks)
        require_at_least(0, gap=gap)
        self.blocks, self.gap = blocks, gap

    def check(self, count):
        require(self.blocks <= count / 2, f"blocks={self.blocks} leaves no two of {count} rows to each")
        self.parts(count, torch.Generator()), self.folds(count, None)
        if count < self.blocks * self.gap:
            length = f"blocks={self.blocks} are of {count // self.blocks} rows, fewer than the gap, {self.gap}"
            log.warning("split: %s: errors are too small where blocks depend on each other", length)

    def parts(self, count, generator):
        first, last = (max(3, int(share * count)) for share in (self.validation, self.test))
        validation, test = torch.arange(first), torch.arange(count - last, count)
        train = self._apart(count, torch.cat([validation, test]))
        return train, *(rows[thinned(len(rows), self.at_most, generator)] for rows in (validation, test))

    def folds(self, count, generator):
        return [(self._apart(count, fold), fold) for fold in torch.arange(count).chunk(self.number)]

    def part_of(self, count, size, generator):
        """One row of every two, of every three and so on: blocks and gap stay as long in time."""
        split = copy.copy(self)
        split.gap = -(-self.gap // -(-count // size))
        return thinned(count, size, generator), split

    def of_shuffled(self):
        split = copy.copy(self)
        split.gap = 0
        return split

    def groups(self, count):
        return torch.arange(count) * min(self.blocks, count) // count

    def _apart(self, count: int, held: Rows) -> Rows:
        """The rows further than `gap` from all of `held`."""
        free = torch.ones(count, dtype=torch.bool)
        for step in range(-self.gap, self.gap + 1):
            free[(held + step).clamp(0, count - 1)] = False
        require(free.any(), f"gap={self.gap} leaves none of {count} rows to train on")
        return torch.nonzero(free).squeeze(1)


def thinned(count: int, size: int, generator: torch.Generator) -> Rows:
    """At most `size` of so many rows, in order: one of every two, of every three and so on. Which one is drawn, as
    every 24th hour would be the same of each day."""
    step = -(-count // size)
    starts = torch.arange(0, count, step)
    room = (count - starts).clamp_max(step)
    return starts + (torch.rand(len(starts), generator=generator) * room).long()
