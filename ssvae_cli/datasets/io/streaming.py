"""Samples that do not fit in memory: they stay on disk, and worker processes read them batch by batch."""

import logging
import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ssvae_cli.datasets.base import Shape, Split
from ssvae_cli.datasets.io.images import Unreadable, refusal, refuse_bombs, unreadable
from ssvae_cli.datasets.io.shared_buffers import LENT, SharedBuffers
from ssvae_cli.errors import UserError

log = logging.getLogger(__name__)

CHUNK = 128  # samples per task, at most: with larger tasks, workers wait for each other at the end
TASK_BYTES = 2**23  # per task, at most
Task = tuple[int, int, np.ndarray]  # the place of a batch, where in it to begin, the samples to read
AHEAD = 2  # tasks that a worker reads ahead


class Source(Protocol):
    """What samples are read from: `ImageFiles`, or `Rows` of an array."""

    shape: Shape  # of one sample
    dtype: np.dtype  # uint8, or floats

    def __len__(self) -> int: ...

    def rows(self, rows: Sequence[int]) -> "Source":
        """Those samples, in that order."""

    def read(self, rows: Sequence[int], out: np.ndarray) -> None:
        """Those samples into the first places of `out`. Raises UserError if one cannot be read."""


@dataclass(frozen=True)
class Streamed:
    """A split whose samples stay on disk: like `Split`, but only its batches have x and x_prime."""

    source: Source
    y: Tensor
    source_prime: Source | None
    workers: int  # processes that only read, 0 for none; batches are the same for any number of them
    factors: Tensor | None = None
    row: Tensor | None = None
    length: Tensor | None = None
    device: torch.device = torch.device("cpu")
    part: str = ""  # what it is for, as test, where a line says that files cannot be read

    def __len__(self) -> int:
        return len(self.source)

    @property
    def shape(self) -> Shape:
        return self.source.shape

    @property
    def dtype(self) -> torch.dtype:
        return torch.from_numpy(np.empty(0, self.source.dtype)).dtype

    @property
    def shape_prime(self) -> Shape | None:
        return None if self.source_prime is None else self.source_prime.shape

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        return len(self) * sum(_size(source) for source in self.sources)

    @property
    def sources(self) -> list[Source]:
        """Of x and, if there is one, of x'."""
        return [source for source in (self.source, self.source_prime) if source is not None]

    def rows(self, rows: Tensor | slice) -> "Streamed":
        """Those samples, in that order."""
        rows = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows.cpu().numpy()
        source, source_prime = (*(source.rows(rows) for source in self.sources), None)[:2]
        return replace(self, source=source, source_prime=source_prime, **self._known(torch.from_numpy(rows)))

    def to(self, device: torch.device) -> "Streamed":
        """The same samples, with batches on a device."""
        return replace(self, device=device)

    def held(self) -> Split:
        """All of them in memory."""
        sides = [np.empty((len(self), *source.shape), source.dtype) for source in self.sources]
        for source, side in zip(self.sources, sides):
            for start in range(0, len(self), CHUNK):
                source.read(range(start, min(start + CHUNK, len(self))), side[start:])
        return self.of(map(torch.from_numpy, sides))

    def of(self, sides: Iterable[Tensor], rows: Tensor | slice = slice(None)) -> Split:
        """A split in memory from the x and perhaps x' of `rows`."""
        x, x_prime = (*sides, None)[:2]
        return Split(x, x_prime=x_prime, **self._known(rows))

    def _known(self, rows: Tensor | slice) -> dict[str, Tensor | None]:
        """What is in memory of those samples."""
        known = {"y": self.y, "factors": self.factors, "row": self.row, "length": self.length}
        return {name: None if tensor is None else tensor[rows] for name, tensor in known.items()}

    def batches(self, size: int, order: Tensor | None = None) -> Iterator[Split]:
        """As `Split.batches`. Raises UserError naming a file that cannot be read, and if a worker dies."""
        yield from self.batches_of((torch.arange(len(self)) if order is None else order.cpu()).split(size))

    def batches_of(self, batches: Sequence[Tensor]) -> Iterator[Split]:
        """As `Split.batches_of`. Raises UserError as `batches`."""
        size = len(batches[0]) if len(batches) else 1
        chunk = max(1, min(CHUNK, size, TASK_BYTES // sum(map(_size, self.sources))))
        pending = -(-max(1, self.workers * AHEAD) // -(-size // chunk))  # batches that workers read; other places are
        count = min(len(batches), pending + 2 + LENT)  # for the batch being gathered, a short last one, the caller's
        places = SharedBuffers([(source.shape, source.dtype) for source in self.sources], size, count)
        asked: deque[Tensor] = deque()  # the batches that are being read, in order

        def tasks() -> Iterator[Task]:
            for batch in batches:
                place = places.free.pop()  # only when the loader asks for it
                asked.append(batch)
                for start in range(0, len(batch), chunk):
                    yield place, start, batch[start : start + chunk].numpy()

        workers, done = min(self.workers, len(batches) * -(-size // chunk)), 0
        for place in self._decoded(places, tasks(), workers):
            done += chunk
            if done >= len(asked[0]):
                batch, done = asked.popleft(), 0
                yield self.of(places.lend(place, len(batch)), batch).to(self.device)

    def _decoded(self, places: SharedBuffers, tasks: Iterator[Task], workers: int) -> Iterator[int]:
        """For each finished task, in order, the place of its batch."""
        loader = DataLoader(
            _Decoder(self.sources, places),
            batch_size=None,
            sampler=tasks,
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            multiprocessing_context="fork" if workers else None,  # shares the places, and copies no array
            worker_init_fn=_enter_worker,
            generator=torch.Generator(),  # its own: evaluation must not change training's random numbers
        )
        handler, others = signal.getsignal(signal.SIGCHLD), multiprocessing.active_children()
        decoded = iter(loader)
        if threading.current_thread() is threading.main_thread():
            # The loader's own handler raises anywhere in training; here a death is noticed when its batch is due.
            signal.signal(signal.SIGCHLD, handler)
        children = [child for child in multiprocessing.active_children() if child not in others]
        try:
            for place in decoded:
                if isinstance(place, Unreadable):  # count such files, as for images in memory
                    log.warning("%s; counting all such images", place)
                    raise refusal(unreadable(self.sources, [None] * len(self.sources)), len(self), self.part)
                if isinstance(place, UserError):
                    raise place
                yield place
        except RuntimeError as error:
            code = next((child.exitcode for child in children if child.exitcode), None)
            if code is None:
                raise
            cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            remedy = f"if memory ran out, lower dataset.workers, {self.workers} here"
            raise UserError(f"a process that decodes images died ({cause}); {remedy}") from error


class _Decoder:
    """Reads the samples of a task into their place; an error is returned: raised in a worker, it prints a traceback."""

    def __init__(self, sources: list[Source], places: SharedBuffers):
        self.sources, self.places = sources, places

    def __getitem__(self, task: Task) -> int | UserError:
        place, start, rows = task
        try:
            for source, out in zip(self.sources, self.places.arrays(place)):
                source.read(rows, out[start:])
        except UserError as error:
            return error
        return place


def _size(source: Source) -> int:
    """Bytes of one sample."""
    return math.prod(source.shape) * np.dtype(source.dtype).itemsize


def _enter_worker(worker: int) -> None:
    refuse_bombs()
    os.setsid()  # Ctrl-C in a terminal then reaches only the run, which saves before it stops
