"""A random order of samples, drawn block by block: its memory does not grow with all of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 2**22  # samples that are permuted at once, at most
RUN = 2**8  # neighbours that stay in one block, and are read from a disk together


class Order:
    """A random order of `count` samples, each once. Up to BLOCK of them it is one permutation.

    Beyond, they are cut, from a random place on, into runs of RUN neighbours. The runs, in random order, fill blocks of
    equal size, and each block is permuted when it is read, by its own seed. A block holds runs from everywhere, so
    that neighbours mix: of two samples of a batch a share of RUN / BLOCK are of one run. Memory: 8 bytes for each
    sample of a block and for each run. The generator is drawn from at the start alone.
    """

    def __init__(self, count: int, generator: torch.Generator):
        self.count, self.blocks = count, max(1, math.ceil(count / BLOCK))
        if self.blocks == 1:
            self._block, self._samples = 0, torch.randperm(count, generator=generator)
            return
        self._offset, self._seed = torch.randint(2**62, (2,), generator=generator).tolist()
        self._runs = torch.randperm(count // RUN, generator=generator)
        self._runs = torch.cat([self._runs, torch.tensor([len(self._runs)])])  # a last, short one
        self._block, self._samples = None, None

    def rows(self, start: int, stop: int) -> Tensor:
        """The samples at these places of the order, int64 [stop - start]. A block is drawn again where another was read
        in between."""
        parts = [torch.empty(0, dtype=torch.int64)]
        while start < stop:
            block = ((start + 1) * self.blocks - 1) // self.count
            first, end = self._ends(block)
            parts.append(self._of_block(block)[start - first : stop - first])
            start = end
        return torch.cat(parts)

    def batches(self, size: int, steps: range, own: slice) -> "Batches":
        """Of each step, the places `own` of its batch of `size`."""
        return Batches(self, size, steps, own)

    def _ends(self, block: int) -> tuple[int, int]:
        """The first place of a block, and the first of the next."""
        return self.count * block // self.blocks, self.count * (block + 1) // self.blocks

    def _of_block(self, block: int) -> Tensor:
        """The samples of a block in their order; those of the last call are kept."""
        if self._block != block:
            places = torch.arange(*self._ends(block))
            samples = (self._runs[places // RUN] * RUN + places % RUN + self._offset) % self.count
            generator = torch.Generator().manual_seed(self._seed + block)
            self._block, self._samples = block, samples[torch.randperm(len(samples), generator=generator)]
        return self._samples


@dataclass(frozen=True)
class Batches(Sequence):
    """The samples of each batch, int64 [own], in an order that is not drawn ahead."""

    order: Order
    size: int
    steps: range
    own: slice

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, i: int) -> Tensor:
        start = self.size * self.steps[i]
        return self.order.rows(start + self.own.start, start + self.own.stop)
