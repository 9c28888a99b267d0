"""Memory that worker processes decode into and whose tensors are the batches: nothing is copied."""

import mmap
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

LENT = 2  # batches that a caller may keep before it gets copies: the current one, and the next as it arrives
ALIGNED = 64  # bytes


class SharedBuffers:
    """Room for `count` batches, each `size` samples of these shapes and types, in memory shared with forked processes.

    Fresh shared memory for every batch would cost as much as decoding small images, so places are reused: one is free
    again once its tensors and all views of them are gone.
    """

    def __init__(self, kinds: Sequence[tuple[tuple[int, ...], np.dtype]], size: int, count: int):
        self.kinds = [((size, *shape), np.dtype(dtype)) for shape, dtype in kinds]
        room = [-(-int(np.prod(shape)) * dtype.itemsize // ALIGNED) * ALIGNED for shape, dtype in self.kinds]
        self.starts = np.cumsum([0, *room]).tolist()
        self.memory = [mmap.mmap(-1, max(self.starts[-1], 1)) for _ in range(count)]  # not /dev/shm, which may be small
        self.free, self.lent = list(range(count)), 0  # the last freed is used first: it may still be cached

    def arrays(self, place: int) -> list[np.ndarray]:
        """A place as arrays, [size, ...] each."""
        return list(self._cut(np.frombuffer(self.memory[place], np.uint8)))

    def lend(self, place: int, count: int) -> list[Tensor]:
        """The first `count` samples of a place, which is free again once they are deleted."""
        memory = np.frombuffer(self.memory[place], np.uint8)  # every view refers to this object, and nothing else does
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
