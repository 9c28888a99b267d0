"""Samples that do not fit in memory: they stay on disk, and worker processes read them batch by batch."""

import logging
import math
import multiprocessing
import os
import signal
import threading
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

CHUNK = 128  # samples a task, at most: in larger ones workers wait for each other at the end
TASK_BYTES = 2**23  # of a task, at most
AHEAD = 2  # tasks that a worker reads ahead


class Source(Protocol):
    """Where samples come from, one after another: `ImageFiles`, or `Rows` of an array."""

    shape: Shape  # of one sample
    dtype: np.dtype  # uint8 or float32

    def __len__(self) -> int: ...

    def rows(self, rows: Sequence[int]) -> "Source":
        """Those samples, in that order."""

    def read(self, rows: Sequence[int], out: np.ndarray) -> None:
        """Those samples into the first places of `out`. Raises UserError for what cannot be read."""


@dataclass(frozen=True)
class Streamed:
    """A split whose samples stay where they are. As `Split`, but that only its batches have x and x_prime.

    workers: processes that read, 0 for none; nothing else is done there, and the order of batches is theirs whatever
    their number. A worker that dies ends the run.
    """

    source: Source
    y: Tensor
    source_prime: Source | None
    workers: int
    factors: Tensor | None = None
    row: Tensor | None = None
    device: torch.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.source)

    @property
    def shape(self) -> Shape:
        return self.source.shape

    @property
    def shape_prime(self) -> Shape | None:
        return None if self.source_prime is None else self.source_prime.shape

    @property
    def bytes(self) -> int:
        """What holding it would take."""
        return len(self) * sum(_size(source) for source in self.sources)

    @property
    def sources(self) -> list[Source]:
        """Of x and, where there is one, of x'."""
        return [source for source in (self.source, self.source_prime) if source is not None]

    def rows(self, rows: Tensor | slice) -> "Streamed":
        """Those samples, in that order."""
        rows = np.arange(len(self))[rows if isinstance(rows, slice) else rows.cpu().numpy()]
        prime, known, row, at = self.source_prime, self.factors, self.row, torch.from_numpy(rows)
        return replace(
            self,
            source=self.source.rows(rows),
            y=self.y[at],
            source_prime=None if prime is None else prime.rows(rows),
            factors=None if known is None else known[at],
            row=None if row is None else row[at],
        )

    def to(self, device: torch.device) -> "Streamed":
        """The same samples, with batches on a device."""
        return replace(self, device=device)

    def held(self) -> Split:
        """All of them in memory."""
        sides = []
        for source in self.sources:
            whole = np.empty((len(source), *source.shape), source.dtype)
            for start in range(0, len(source), CHUNK):
                source.read(range(start, min(start + CHUNK, len(source))), whole[start:])
            sides.append(torch.from_numpy(whole))
        return self.of(sides)

    def of(self, sides: Iterable[Tensor], rows: Tensor | slice = slice(None)) -> Split:
        """A split in memory of x and perhaps x', which are those of `rows`."""
        x, x_prime = (*sides, None)[:2]
        factors, row = (None if known is None else known[rows] for known in (self.factors, self.row))
        return Split(x, self.y[rows], x_prime=x_prime, factors=factors, row=row)

    def batches(self, size: int, order: Tensor | None = None) -> Iterator[Split]:
        """As `Split.batches`. Raises UserError naming a file that cannot be read."""
        batches = (torch.arange(len(self)) if order is None else order.cpu()).split(size)
        chunk = max(1, min(CHUNK, size, TASK_BYTES // sum(map(_size, self.sources))))
        under_way = -(-max(1, self.workers * AHEAD) // -(-size // chunk))  # batches; beside them, of the places,
        count = min(len(batches), under_way + 2 + LENT)  # are the batch that is gathered, a short last one, those lent
        places = SharedBuffers([(source.shape, source.dtype) for source in self.sources], size, count)
        decoded = self._decoded(places, batches, chunk)
        for batch in batches:
            for _ in range(0, len(batch), chunk):
                place = next(decoded)
            yield self.of(places.lend(place, len(batch)), batch).to(self.device)

    def _decoded(self, places: SharedBuffers, batches: Sequence[Tensor], chunk: int) -> Iterator[int]:
        """Task after task of `chunk` samples is done: the place of the batch that it belongs to."""
        tasks = (
            (place, start, batch[start : start + chunk].numpy())
            for batch in batches
            for place in [places.free.pop()]  # taken as late as the loader asks for it
            for start in range(0, len(batch), chunk)
        )
        workers = min(self.workers, sum(-(-len(batch) // chunk) for batch in batches))
        loader = DataLoader(
            _Decoder(self.sources, places),
            batch_size=None,
            sampler=tasks,
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            multiprocessing_context="fork" if workers else None,  # they share the places, and copy no array
            worker_init_fn=_enter_worker,
            generator=torch.Generator(),  # of the loader's own: evaluation must not move training's random numbers
        )
        handler, others = signal.getsignal(signal.SIGCHLD), multiprocessing.active_children()
        decoded = iter(loader)
        if threading.current_thread() is threading.main_thread():
            # The loader's own handler raises wherever training is; a death is noticed here, when its batch is due.
            signal.signal(signal.SIGCHLD, handler)
        children = [child for child in multiprocessing.active_children() if child not in others]
        try:
            for done in decoded:
                if isinstance(done, UserError):
                    raise self._counted(done)
                yield done
        except RuntimeError as error:
            deaths = [_cause(child.exitcode) for child in children if child.exitcode]
            if not deaths:
                raise
            raise UserError(
                f"a process that decodes images died ({deaths[0]}); "
                f"where memory ran out, lower workers, {self.workers} here"
            ) from error

    def _counted(self, error: UserError) -> UserError:
        """The error; of a file that cannot be read with the number of its like, as for images in memory."""
        if not isinstance(error, Unreadable):
            return error
        log.warning("%s; counting its like", error)
        return refusal(unreadable(self.sources, [None] * len(self.sources)), len(self))


class _Decoder:
    """Reads the samples of a task into their place; a mistake is returned, where a worker that raises tells a page."""

    def __init__(self, sources: list[Source], places: SharedBuffers):
        self.sources, self.places = sources, places

    def __getitem__(self, task: tuple[int, int, np.ndarray]) -> int | UserError:
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
    os.setsid()  # a signal that stops all of a terminal's processes is left to the run, which saves first


def _cause(exitcode: int) -> str:
    return f"signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"
