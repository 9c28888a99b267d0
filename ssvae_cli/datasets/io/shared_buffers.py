"""Memory that worker processes decode into, and that batches are lent from: no copy lies between."""

import mmap
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

LENT = 2  # batches that a caller may hold before it gets copies: the one at hand, and the next as it arrives
ALIGNED = 64  # bytes


class SharedBuffers:
    """Room for `count` batches, each `size` samples of these shapes and types, in memory shared with forked processes.

    Fresh shared memory for every batch would cost as much as decoding small pictures, so places are used again: one
    that was lent is free once nothing holds its tensors or a view of them.
    """

    def __init__(self, kinds: Sequence[tuple[tuple[int, ...], np.dtype]], size: int, count: int):
        self.kinds = [((size, *shape), np.dtype(dtype)) for shape, dtype in kinds]
        room = [-(-int(np.prod(shape)) * dtype.itemsize // ALIGNED) * ALIGNED for shape, dtype in self.kinds]
        self.starts = np.cumsum([0, *room]).tolist()
        self.memory = [mmap.mmap(-1, max(self.starts[-1], 1)) for _ in range(count)]  # not /dev/shm, which may be small
        self.free, self.lent = list(range(count)), 0  # the last freed is taken first: it may still be in a cache

    def arrays(self, place: int) -> list[np.ndarray]:
        """A place as arrays, [size, ...] each."""
        return list(self._cut(np.frombuffer(self.memory[place], np.uint8)))

    def lend(self, place: int, count: int) -> list[Tensor]:
        """The first `count` samples of a place, which is free when they are dropped."""
        memory = np.frombuffer(self.memory[place], np.uint8)  # every view holds this object, and no other lender has it
        weakref.finalize(memory, self._back, place)
        self.lent += 1
        tensors = [torch.from_numpy(array[:count]) for array in self._cut(memory)]
        return [tensor.clone() for tensor in tensors] if self.lent > LENT else tensors

    def _cut(self, memory: np.ndarray) -> Iterator[np.ndarray]:
        for (shape, dtype), start in zip(self.kinds, self.starts):
            length = int(np.prod(shape)) * dtype.itemsize
            yield memory[start : start + length].view(dtype).reshape(shape)

    def _back(self, place: int) -> None:
        self.lent -= 1
        self.free.append(place)
