"""Image files as a split: read once into memory if they fit, else streamed."""

import logging
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from ssvae_cli.datasets.base import Split
from ssvae_cli.datasets.io.images import File, ImageFiles, refusal, sizes, unreadable
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import agreeing, counted, require

log = logging.getLogger(__name__)

OnError = Literal["raise", "skip"]
Size = int | Literal["auto"] | None
SIDE = 64  # pixels, to which images are resized of whose size nothing is said
LARGEST_KEPT = 256  # pixels on the shorter side, up to which images of one size are kept unchanged


def load(split: Streamed, part: str = "", *, on_error: OnError, stream: bool) -> Split | Streamed:
    """A split of image files, read into memory unless `stream`. part: what it is for, as test; "": not divided yet.

    on_error, for files that cannot be read: raise a UserError that names the first and counts them (a stream: when it
    reaches one), or skip them and count them in a warning (a stream is read once for that).
    """
    if stream and on_error == "raise":
        return replace(split, part=part)
    x = [None if stream else np.empty((len(split), *files.shape), np.uint8) for files in split.sources]
    bad, total = unreadable(split.sources, x), len(split)
    if bad and on_error == "raise":
        raise refusal(bad, total, part)
    read = split if stream else split.of(map(torch.from_numpy, x))
    if not bad:
        return read
    first = bad[min(bad)]
    what = f"no image for {part}" if part else "no image"
    require(len(bad) < total, f"{split.source.place}: {what} can be read, of {total}; the first: {first}")
    log.warning("skipped %d of %d images%s; the first: %s", len(bad), total, part and f" for {part}", first)
    return read.rows(torch.tensor([i for i in range(total) if i not in bad]))


def files_of_one_shape(
    files: Sequence[File], size: Size, channels: int, fitted: Sequence[int] | None
) -> tuple[ImageFiles, str]:
    """(The files, read in one shape; a note if they are resized unasked, else "").

    size: resized to it on the shorter side and cropped about the centre. None: unchanged, and of one size. auto:
    unchanged if they are of one size that is not too large, else resized to 64, or to their own typical size if that
    is less. fitted: the shape of the images that were trained on, which then replaces size and channels.
    """
    if fitted is not None:
        return ImageFiles(files, tuple(fitted), resize=True), ""
    if isinstance(size, int):
        return ImageFiles(files, (channels, size, size), resize=True), ""
    known = [side for side in sizes(files, first=size is None) if side is not None] or [(1, 1)]  # `load` says why not
    width, height = known[0]
    if size is None or (len(set(known)) == 1 and min(width, height) <= LARGEST_KEPT):
        return ImageFiles(files, (channels, height, width), resize=False), ""
    side = min(SIDE, int(statistics.median(map(min, known))))
    low, high = ("x".join(map(str, pick(known, key=math.prod))) for pick in (min, max))
    what = f"of {low} pixels" if low == high else f"of {low} to {high} pixels"
    those = f"{counted(len(files), 'image')} {what} {agreeing(len(files), 'is', 'are')}"
    note = f"{those} resized to {side}x{side}, cropped about the centre; dataset.size chooses"
    return ImageFiles(files, (channels, side, side), resize=True), note
