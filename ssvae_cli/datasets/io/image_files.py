"""Image files as a split: read once into memory if they fit, else streamed."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ssvae_cli.datasets.base import Shape, Split
from ssvae_cli.datasets.io.images import Unreadable, read_image, refusal, refuse_bombs, unreadable
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import UserError, require

log = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]


def load(split: Streamed, *, on_error: OnError, stream: bool) -> Split | Streamed:
    """A split of image files, read into memory unless `stream`.

    on_error, for files that cannot be read: raise a UserError that names the first and counts them (a stream: when it
    reaches one), or skip them and count them in a warning (a stream is read once for that).
    """
    if stream and on_error == "raise":
        return split
    x = [None if stream else np.empty((len(split), *files.shape), np.uint8) for files in split.sources]
    bad, total = unreadable(split.sources, x), len(split)
    if bad and on_error == "raise":
        raise refusal(bad, total)
    read = split if stream else split.of(map(torch.from_numpy, x))
    if not bad:
        return read
    first = bad[min(bad)]
    require(len(bad) < total, f"{split.source.paths[0].parent}: none of the images can be read; the first: {first}")
    log.warning("skipped %d of %d images; the first: %s", len(bad), total, first)
    return read.rows(torch.tensor([i for i in range(total) if i not in bad]))


def shape_of(paths: Sequence[Path], size: int | None, channels: int, on_error: OnError) -> Shape:
    """(C, H, W) in which the files are read: by `size`, or that of the first image."""
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
