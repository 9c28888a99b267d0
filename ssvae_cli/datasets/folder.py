"""A folder of your own: train/ and test/, each with a folder of images for every class."""

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from ssvae_cli.datasets.base import Data, Split, hold_out_rows, limit_rows
from ssvae_cli.datasets.io.image_files import OnError, load, shape_of
from ssvae_cli.datasets.io.images import ImageFiles, image_paths, require_size
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import allowed, require
from ssvae_cli.paths import expanded

SHOWN = 20  # names in an error line, at most

Files = Sequence[tuple[Path, int]]  # image and label


def folder(
    *,
    root: str,
    size: int | None,
    channels: Literal[1, 3],
    validation: int | None,
    on_error: OnError = "raise",
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
) -> Data:
    """Images under root/train/<class>/, root/test/<class>/ and, if present, root/validation/<class>/ (or val/).

    size: images are resized to it on their shorter side and cropped about the centre; null leaves them unchanged, and
    all must then have one size. validation: the number of training images held out if root has no validation/; null: a
    tenth. on_error: a file that cannot be read stops the run, or is left out and counted in a warning. limit: train on
    this many images; null: all. memory_gb: images that take more than this as 8-bit pixels are streamed by `workers`
    processes, null: one per core. Files whose names are not those of images are ignored. Raises UserError, in one line
    that names the place.
    """
    require_size(size=size)
    storage = Storage(memory_gb, workers)
    base = Path(expanded(root, "root"))
    require(base.is_dir(), f"root={root}: no such folder; it should hold train/ and test/")
    classes = _classes(base / "train")
    train, test = (_files(base / part, classes) for part in ("train", "test"))
    own = next((base / name for name in ("validation", "val") if (base / name).is_dir()), None)
    if own is None:
        rows = hold_out_rows(len(train), max(1, len(train) // 10) if validation is None else validation)
        train, held_out = ([train[i] for i in part] for part in rows)
    else:
        require(validation is None, f"validation must be null, as {own} is used instead; got {validation}")
        held_out = _files(own, classes)
    train = [train[i] for i in limit_rows(len(train), limit)]
    parts = {"train": train, "validation": held_out, "test": test}
    shape = shape_of([path for part in parts.values() for path, _ in part], size, channels, on_error)
    stream = storage.exceeded_by(sum(map(len, parts.values())) * math.prod(shape))

    def split(part: Files) -> Split | Streamed:
        paths, labels = zip(*part)
        files = Streamed(ImageFiles(paths, shape, size), torch.tensor(labels), None, storage.processes)
        return load(files, on_error=on_error, stream=stream)

    return Data(**{name: split(part) for name, part in parts.items()}, classes=classes)


def _classes(part: Path) -> tuple[str, ...]:
    present = sorted(p.name for p in part.parent.iterdir())[:SHOWN]
    require(part.is_dir(), f"{part}: no such folder; root should hold train/ and test/, found: {', '.join(present)}")
    names = tuple(sorted(p.name for p in part.iterdir() if p.is_dir() and not p.name.startswith(".")))
    require(names != (), f"{part}: no classes; it should hold a folder of images for every class")
    return names


def _files(part: Path, classes: tuple[str, ...]) -> Files:
    """Every image below part's class folders, in order; it may lack classes of train, but have no others."""
    files = []
    for name in _classes(part):
        close = difflib.get_close_matches(name, classes, n=SHOWN, cutoff=0.0)
        require(name in classes, f"{part / name}: train has no such class; {allowed(name, close)}")
        files += [(path, classes.index(name)) for path in image_paths(part / name)]
    return files
