"""Image files as a split: read once onto the device where they fit, decoded batch by batch by workers where not."""

import logging
import math
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from ssvae_cli.datasets.base import Shape, Split
from ssvae_cli.datasets.images import Unreadable, read_image
from ssvae_cli.errors import UserError, require

log = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]
CORES = os.cpu_count() or 2
CHUNK = 64  # images a task: one by one, handing them out costs as much as a small picture
TASK_BYTES = 2**22  # of a task, at most: decoded tasks wait in shared memory
AHEAD = 4  # tasks that a worker decodes ahead


@dataclass(frozen=True)
class ImageFiles:
    """Files that are all read as uint8 of one shape (C, H, W). size: resized and cropped to it, None: as they are."""

    paths: Sequence[Path]
    shape: Shape
    size: int | None

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, rows: Sequence[int]) -> "ImageFiles":
        return replace(self, paths=[self.paths[i] for i in rows])

    def pixels(self, row: int) -> np.ndarray:
        """One image. Raises Unreadable, and UserError for one that is not like the others."""
        path = self.paths[row]
        pixels = read_image(path, self.size, self.shape[0])
        if pixels.shape != self.shape:
            raise UserError(f"{path}: {_text(pixels.shape)}, but others are {_text(self.shape)}; give dataset.size")
        return pixels


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
        sample = math.prod(self.shape) + math.prod(self.shape_prime or ())
        chunk = max(1, min(CHUNK, TASK_BYTES // sample))
        tasks = [task for batch in batches for task in batch.split(chunk)]
        decoded = self._decoded(tasks)
        for batch in batches:
            parts = [next(decoded) for _ in batch.split(chunk)]
            x, x_prime = (None if side[0] is None else torch.cat(side) for side in zip(*parts))
            yield Split(x, self.y[batch], x_prime=x_prime).to(self.device)

    def _decoded(self, tasks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor | None]]:
        loader = DataLoader(
            _Decoder(self.files, self.files_prime),
            batch_size=None,
            sampler=tasks,
            num_workers=min(self.workers, len(tasks)),
            prefetch_factor=AHEAD if self.workers else None,
            worker_init_fn=_enter_worker,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # of the loader's own: evaluation must not move training's random numbers
        )
        handler, others = signal.getsignal(signal.SIGCHLD), multiprocessing.active_children()
        decoded = iter(loader)
        if threading.current_thread() is threading.main_thread():
            # The loader's own handler raises wherever training is; a death is noticed here, when its batch is due.
            signal.signal(signal.SIGCHLD, handler)
        workers = [child for child in multiprocessing.active_children() if child not in others]
        try:
            for pixels in decoded:
                if isinstance(pixels, str):
                    raise UserError(pixels)
                yield pixels
        except RuntimeError as error:
            deaths = [_cause(worker.exitcode) for worker in workers if worker.exitcode]
            if not deaths:
                raise
            raise UserError(
                f"a process that decodes images died ({deaths[0]}); "
                f"where memory ran out, lower dataset.workers, {self.workers} here"
            ) from error


class _Decoder:
    """Decodes the images of a task; what is wrong comes back as a line, where a worker's exception is a page."""

    def __init__(self, *sides: ImageFiles | None):
        self.sides = sides

    def __getitem__(self, rows: Tensor) -> tuple[Tensor | None, ...] | str:
        try:
            return tuple(files and _stack(files, rows.tolist()) for files in self.sides)
        except UserError as error:
            return f"{error}; dataset.on_error=skip leaves out what cannot be read"


def _stack(files: ImageFiles, rows: list[int]) -> Tensor:
    x = torch.empty(len(rows), *files.shape, dtype=torch.uint8)
    place = x.numpy()
    for i, row in enumerate(rows):
        place[i] = files.pixels(row)
    return x


def _enter_worker(worker: int) -> None:
    _refuse_bombs()
    for stop in (signal.SIGINT, signal.SIGTERM):  # it is the run that stops, when it has saved
        signal.signal(stop, signal.SIG_IGN)


def _refuse_bombs() -> None:
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def load(
    files: ImageFiles,
    y: Tensor,
    files_prime: ImageFiles | None = None,
    *,
    on_error: OnError,
    stream: bool,
    workers: int,
) -> Split | Streamed:
    """The files as a split.

    on_error: raise a UserError that names the first file that cannot be read and counts them (a stream: the first that
    is reached), or skip them and count them in a warning (a stream is read once for that).
    """
    if stream and on_error == "raise":
        return Streamed(files, y, files_prime, workers)
    x, bad = _read(files, keep=not stream)
    x_prime, bad_prime = (None, {}) if files_prime is None else _read(files_prime, keep=not stream)
    bad = bad_prime | bad
    split = Streamed(files, y, files_prime, workers) if stream else Split(x, y, x_prime=x_prime)
    if not bad:
        return split
    first, total = bad[min(bad)], len(files)
    if on_error == "raise":
        count = f"{len(bad)} of {total} images cannot be read, the first: " if len(bad) > 1 else ""
        raise UserError(f"{count}{first}; dataset.on_error=skip leaves out what cannot be read")
    require(len(bad) < total, f"{files.paths[0].parent}: none of the images can be read; the first: {first}")
    log.warning("skipped %d of %d images; the first: %s", len(bad), total, first)
    return split.rows(torch.tensor([i for i in range(total) if i not in bad]))


def _read(files: ImageFiles, *, keep: bool) -> tuple[Tensor | None, dict[int, UserError]]:
    """(the images as one tensor, each decoded straight into its place, or None; what cannot be read, by row)."""
    x = torch.empty(len(files) if keep else 0, *files.shape, dtype=torch.uint8)
    place = x.numpy()

    def fill(start: int) -> dict[int, UserError]:
        unread = {}
        for i in range(start, min(start + CHUNK, len(files))):
            try:
                pixels = files.pixels(i)
            except Unreadable as error:
                unread[i] = error
                continue
            if keep:
                place[i] = pixels
        return unread

    # Pillow decodes without the interpreter's lock. The filter is set here: in a thread it would hold for all of them.
    with ThreadPoolExecutor(max(2, min(8, CORES))) as pool, warnings.catch_warnings():
        _refuse_bombs()
        found = [item for chunk in pool.map(fill, range(0, len(files), CHUNK)) for item in chunk.items()]
    return (x if keep else None), dict(found)


def shape_of(paths: Sequence[Path], size: int | None, channels: int, on_error: OnError) -> Shape:
    """(C, H, W) as the files are to be read: `size`, or the first image's."""
    if size:
        return channels, size, size
    with warnings.catch_warnings():
        _refuse_bombs()
        for path in paths:
            try:
                return read_image(path, None, channels).shape
            except Unreadable:
                if on_error == "raise":
                    raise
    raise UserError(f"{paths[0].parent}: none of the images can be read")


def must_stream(need: int, memory_gb: float, workers: int) -> bool:
    """Whether `need` bytes exceed what is kept. Raises UserError where they would only end in being killed."""
    require(memory_gb >= 0, f"dataset.memory_gb must be at least 0, got {memory_gb}")
    require(workers >= 0, f"dataset.workers must be at least 0, got {workers}")
    if need > memory_gb * 2**30:
        log.info("%.2f GiB exceed dataset.memory_gb=%g: images are streamed", need / 2**30, memory_gb)
        return True
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    require(
        need < there,
        f"the images take {need / 2**30:.1f} GiB, and this machine has {there / 2**30:.1f}; lower dataset.memory_gb, "
        "so that they are streamed",
    )
    return False


def _cause(exitcode: int) -> str:
    return f"signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"


def _text(shape: Shape) -> str:
    return f"{shape[2]}x{shape[1]} pixels"
