"""Image files as a split: read once into memory where they fit, streamed where not."""

import logging
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Shape, Split
from ssvae_cli.datasets.images import ImageFiles, Unreadable, read_image, refuse_bombs
from ssvae_cli.datasets.streaming import Streamed
from ssvae_cli.errors import UserError, require

log = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]
CORES = os.cpu_count() or 2
CHUNK = 64  # images a task: one by one, handing them out costs as much as a small picture


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
        refuse_bombs()
        found = [item for chunk in pool.map(fill, range(0, len(files), CHUNK)) for item in chunk.items()]
    return (x if keep else None), dict(found)


def shape_of(paths: Sequence[Path], size: int | None, channels: int, on_error: OnError) -> Shape:
    """(C, H, W) as the files are to be read: `size`, or the first image's."""
    if size:
        return channels, size, size
    with warnings.catch_warnings():
        refuse_bombs()
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
