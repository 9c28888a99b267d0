"""A folder of your own: train/ and test/, each with a folder of images for every class."""

import difflib
import logging
import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import torch
from PIL import Image

from ssvae_cli.datasets.base import Data, Split, hold_out_rows, limit_rows
from ssvae_cli.datasets.images import KINDS, is_image, read_image
from ssvae_cli.errors import UserError, nearest, require

log = logging.getLogger(__name__)

THREADS = max(2, min(8, os.cpu_count() or 2))  # Pillow decodes without the interpreter's lock
CHUNK = 64  # images a task: one by one, handing them out costs as much as a small picture
OWN_VALIDATION = ("validation", "val")
SHOWN = 20  # names in an error line, at most

Files = Sequence[tuple[Path, int]]  # image and label


def folder(
    *,
    root: str,
    size: int | None,
    channels: Literal[1, 3],
    validation: int | None,
    on_error: Literal["raise", "skip"] = "raise",
    limit: int | None = None,
) -> Data:
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

    parts = (train, held_out, test)
    with warnings.catch_warnings():  # here, and not where files are opened: a filter holds for every thread
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        shape = (channels, size, size) if size else _first_shape([f for p in parts for f in p], channels, on_error)
        _fits_in_memory(sum(map(len, parts)), shape)
        return Data(*(_read(part, shape, size, on_error) for part in parts), classes)


def _classes(part: Path) -> tuple[str, ...]:
    held = sorted(p.name for p in part.parent.iterdir())[:SHOWN]
    require(
        part.is_dir(),
        f"{part}: no such folder; dataset.root should hold train/ and test/, and holds: {', '.join(held)}",
    )
    names = tuple(sorted(p.name for p in part.iterdir() if p.is_dir() and not p.name.startswith(".")))
    require(names != (), f"{part}: no classes; it should hold a folder of images for every class")
    return names


def _files(part: Path, classes: tuple[str, ...]) -> Files:
    """Every image below part's class folders, in order; part may lack classes of train, but has no others."""
    files = []
    for name in _classes(part):
        close = difflib.get_close_matches(name, classes, n=SHOWN, cutoff=0.0)
        require(name in classes, f"{part / name}: train has no such class; {nearest(name, close)}")
        found = sorted(path for path in (part / name).rglob("*") if is_image(path))
        require(found != [], f"{part / name}: no images; allowed: {', '.join(KINDS)}")
        files += [(path, classes.index(name)) for path in found]
    return files


def _first_shape(files: Files, channels: int, on_error: str) -> tuple[int, int, int]:
    for path, _ in files:
        try:
            return read_image(path, None, channels).shape
        except UserError:
            if on_error == "raise":
                raise
    raise UserError(f"{files[0][0].parent}: none of the images can be read")


def _fits_in_memory(count: int, shape: tuple[int, int, int]) -> None:
    """Refuse what would only end when the system kills the run, without a word."""
    need, there = count * math.prod(shape), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    require(
        need < there,
        f"{count} images of {_text(shape)} take {need / 2**30:.1f} GiB, this machine has {there / 2**30:.1f}; "
        "lower dataset.size or dataset.limit",
    )


def _read(files: Files, shape: tuple[int, int, int], size: int | None, on_error: str) -> Split:
    """The images as one tensor, in the order of `files`; each is decoded straight into its place."""
    x = torch.empty(len(files), *shape, dtype=torch.uint8)
    place = x.numpy()

    def fill(start: int) -> list[tuple[int, UserError]]:
        unread = []
        for i, (path, _) in enumerate(files[start : start + CHUNK], start):
            try:
                pixels = read_image(path, size, shape[0])
            except UserError as error:
                if on_error == "raise":
                    raise
                unread.append((i, error))
                continue
            if pixels.shape != shape:
                raise UserError(f"{path}: {_text(pixels.shape)}, but others are {_text(shape)}; give dataset.size")
            place[i] = pixels
        return unread

    with ThreadPoolExecutor(THREADS) as pool:
        unread = [item for chunk in pool.map(fill, range(0, len(files), CHUNK)) for item in chunk]
    split = Split(x, torch.tensor([label for _, label in files]))
    if not unread:
        return split
    log.warning("skipped %d of %d images; the first: %s", len(unread), len(files), unread[0][1])
    require(len(unread) < len(files), f"{files[0][0].parent}: none of the images can be read")
    good = torch.ones(len(files), dtype=torch.bool)
    good[[i for i, _ in unread]] = False
    return split.rows(good)


def _text(shape: tuple[int, int, int]) -> str:
    return f"{shape[2]}x{shape[1]} pixels"
