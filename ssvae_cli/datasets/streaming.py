"""Images that do not fit: they stay on disk, and worker processes decode them batch by batch."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ssvae_cli.datasets.base import Shape, Split
from ssvae_cli.datasets.images import ImageFiles, refuse_bombs
from ssvae_cli.errors import UserError

CHUNK = 64  # images a task, at most: in larger ones workers wait for each other at the end
TASK_BYTES = 2**21  # of a task, at most: decoded tasks wait in shared memory
AHEAD = 3  # tasks that a worker decodes ahead


@dataclass(frozen=True)
class Streamed:
    """A split whose images stay on disk. As `Split`, but that only its batches have x and x_prime.

    workers: processes that decode, 0 for none; nothing else is done there, and the order of batches is theirs whatever
    their number. A worker that dies ends the run.
    """

    files: ImageFiles
    y: Tensor
    files_prime: ImageFiles | None
    workers: int
    device: torch.device = torch.device("cpu")
    factors = None

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> Shape:
        return self.files.shape

    @property
    def shape_prime(self) -> Shape | None:
        return None if self.files_prime is None else self.files_prime.shape

    def rows(self, rows: Tensor | slice) -> "Streamed":
        """Those samples, in that order."""
        rows = np.arange(len(self))[rows if isinstance(rows, slice) else rows.cpu().numpy()]
        prime = self.files_prime and self.files_prime.rows(rows)
        return replace(self, files=self.files.rows(rows), y=self.y[torch.from_numpy(rows)], files_prime=prime)

    def to(self, device: torch.device) -> "Streamed":
        """The same samples, with batches on a device."""
        return replace(self, device=device)

    def batches(self, size: int, order: Tensor | None = None) -> Iterator[Split]:
        """As `Split.batches`. Raises UserError naming a file that cannot be read."""
        batches = (torch.arange(len(self)) if order is None else order.cpu()).split(size)
        sides = (self.files, self.files_prime)
        pin = self.device.type == "cuda"
        chunk = max(1, min(CHUNK, TASK_BYTES // sum(math.prod(files.shape) for files in sides if files is not None)))
        decoded = self._decoded([task for batch in batches for task in batch.split(chunk)], chunk)
        for batch in batches:
            x = [files and torch.empty(len(batch), *files.shape, dtype=torch.uint8, pin_memory=pin) for files in sides]
            for start in range(0, len(batch), chunk):
                for whole, part in zip(x, next(decoded)):
                    if whole is not None:
                        whole[start : start + chunk] = part[: len(batch) - start]
            yield Split(x[0], self.y[batch], x_prime=x[1]).to(self.device)

    def _decoded(self, tasks: list[Tensor], chunk: int) -> Iterator[tuple[Tensor | None, ...]]:
        """The images of each task, in a place that the task after the next ones writes to again."""
        decoder = _Decoder((self.files, self.files_prime), chunk, self.workers * AHEAD + 1)
        loader = DataLoader(
            decoder,
            batch_size=None,
            sampler=[(number, task.tolist()) for number, task in enumerate(tasks)],
            num_workers=min(self.workers, len(tasks)),
            prefetch_factor=AHEAD if self.workers else None,
            worker_init_fn=_enter_worker,
            generator=torch.Generator(),  # of the loader's own: evaluation must not move training's random numbers
        )
        handler, others = signal.getsignal(signal.SIGCHLD), multiprocessing.active_children()
        decoded = iter(loader)
        if threading.current_thread() is threading.main_thread():
            # The loader's own handler raises wherever training is; a death is noticed here, when its batch is due.
            signal.signal(signal.SIGCHLD, handler)
        workers = [child for child in multiprocessing.active_children() if child not in others]
        try:
            for place in decoded:
                if isinstance(place, str):
                    raise UserError(place)
                yield decoder.places[place]
        except RuntimeError as error:
            deaths = [_cause(worker.exitcode) for worker in workers if worker.exitcode]
            if not deaths:
                raise
            raise UserError(
                f"a process that decodes images died ({deaths[0]}); "
                f"where memory ran out, lower dataset.workers, {self.workers} here"
            ) from error


class _Decoder:
    """Decodes the images of a task into shared memory, and says where.

    There is a place for every task that can be under way, and they are used in turn: fresh shared memory for each task
    would cost as much as a small picture. What is wrong comes back as a line, where a worker's exception is a page.
    """

    def __init__(self, sides: tuple[ImageFiles | None, ...], chunk: int, places: int):
        self.sides = sides
        self.places = [
            tuple(files and torch.empty(chunk, *files.shape, dtype=torch.uint8).share_memory_() for files in sides)
            for _ in range(places)
        ]

    def __getitem__(self, task: tuple[int, list[int]]) -> int | str:
        number, rows = task
        place = number % len(self.places)
        try:
            for files, part in zip(self.sides, self.places[place]):
                pixels = None if part is None else part.numpy()
                for i, row in enumerate([] if part is None else rows):
                    pixels[i] = files.pixels(row)
        except UserError as error:
            return f"{error}; dataset.on_error=skip leaves out what cannot be read"
        return place


def _enter_worker(worker: int) -> None:
    refuse_bombs()
    os.setsid()  # a signal that stops all of a terminal's processes is left to the run, which saves first


def _cause(exitcode: int) -> str:
    return f"signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"
