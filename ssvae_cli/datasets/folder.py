"""A folder of your own: train/ and test/, each with a folder of images for every class."""

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from ssvae_cli.datasets.base import ImageData, Split, hold_out_rows, limit_rows
from ssvae_cli.datasets.images import KINDS, is_image, read_image
from ssvae_cli.errors import UserError, nearest, require

log = logging.getLogger(__name__)

THREADS = max(2, min(8, os.cpu_count() or 2))  # Pillow decodes without the interpreter's lock
CHUNK = 64  # images a task: one by one, handing them out costs as much as a small picture
OWN_VALIDATION = ("validation", "val")

Files = Sequence[tuple[Path, int]]  # image and label
Read = Callable[[Files], Split]


def folder(
    *,
    root: str,
    size: int | None,
    channels: Literal[1, 3],
    validation: int | None,
    on_error: Literal["raise", "skip"] = "raise",
    limit: int | None = None,
) -> ImageData:
    """Images under root/train/<class>/, root/test/<class>/ and, where it is there, root/validation/<class>/ (or val/).

    size: images are resized to it on their shorter side and cropped about the centre; null takes them as they are,
    and they must then be alike. validation: how many training images are held out where root has no validation/;
    null: a tenth. on_error: a file that cannot be read stops the run, or is left out and counted in a warning.
    limit: train on this many images; null: all. Files that are not named as images are passed over.
    Raises UserError, in one line that names the place.
    """
    require(size is None or size >= 1, f"dataset.size must be at least 1 or null, got {size}")
    base = Path(root).expanduser()
    require(base.is_dir(), f"dataset.root={root}: no such folder; it should hold train/ and test/")
    classes = _classes(base / "train")
    train, test = (_files(base / part, classes) for part in ("train", "test"))
    own = next((base / name for name in OWN_VALIDATION if (base / name).is_dir()), None)
    if own is None:
        kept, held = hold_out_rows(len(train), max(1, len(train) // 10) if validation is None else validation)
        train, held_out = [train[i] for i in kept], [train[i] for i in held]
    else:
        require(
            validation is None,
            f"dataset.validation must be null, as {own} is there to be used instead; got {validation}",
        )
        held_out = _files(own, classes)
    train = [train[i] for i in limit_rows(len(train), limit)]

    shape = _shape([*train, *held_out, *test], size, channels, on_error)
    _fits_in_memory(base, len(train) + len(held_out) + len(test), shape)
    with warnings.catch_warnings():  # here, and not where files are opened: a filter holds for every thread
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        splits = [_read(files, shape, size, on_error) for files in (train, held_out, test)]
    return ImageData(*splits, classes)
