"""A folder of your own: train/ and test/, each with a folder of images for every class."""

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from ssvae_cli.datasets.base import Data, Split, hold_out_rows, limit_rows
from ssvae_cli.datasets.io.image_files import OnError, load, shape_of
from ssvae_cli.datasets.io.images import KINDS, ImageFiles, is_image, require_size
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import allowed, require

OWN_VALIDATION = ("validation", "val")
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
    """Images under root/train/<class>/, root/test/<class>/ and, where it is there, root/validation/<class>/ (or val/).

    size: images are resized to it on their shorter side and cropped about the centre; null takes them as they are,
    and they must then be alike. validation: how many training images are held out where root has no validation/;
    null: a tenth. on_error: a file that cannot be read stops the run, or is left out and counted in a warning.
    limit: train on this many images; null: all. memory_gb: what takes more than this as 8-bit pixels is streamed, by
    `workers` processes, null: one a core. Files that are not named as images are passed over.
    Raises UserError, in one line that names the place.
    """
    require_size(size)
    storage = Storage(memory_gb, workers)
    base = Path(root).expanduser()
    require(base.is_dir(), f"root={root}: no such folder; it should hold train/ and test/")
    classes = _classes(base / "train")
    train, test = (_files(base / part, classes) for part in ("train", "test"))
    own = next((base / name for name in OWN_VALIDATION if (base / name).is_dir()), None)
    if own is None:
        kept, held = hold_out_rows(len(train), max(1, len(train) // 10) if validation is None else validation)
        train, held_out = [train[i] for i in kept], [train[i] for i in held]
    else:
        require(
            validation is None,
            f"validation must be null, as {own} is there to be used instead; got {validation}",
        )
        held_out = _files(own, classes)
    train = [train[i] for i in limit_rows(len(train), limit)]

    parts = {"train": train, "validation": held_out, "test": test}
    shape = shape_of([path for part in parts.values() for path, _ in part], size, channels, on_error)
    stream = storage.exceeded_by(sum(map(len, parts.values())) * math.prod(shape))

    def split(part: Files) -> Split | Streamed:
        labels = torch.tensor([label for _, label in part])
        files = ImageFiles([path for path, _ in part], shape, size)
        return load(Streamed(files, labels, None, storage.processes), on_error=on_error, stream=stream)

    return Data(**{name: split(part) for name, part in parts.items()}, classes=classes)


def _classes(part: Path) -> tuple[str, ...]:
    held = sorted(p.name for p in part.parent.iterdir())[:SHOWN]
    require(
        part.is_dir(),
        f"{part}: no such folder; root should hold train/ and test/, and holds: {', '.join(held)}",
    )
    names = tuple(sorted(p.name for p in part.iterdir() if p.is_dir() and not p.name.startswith(".")))
    require(names != (), f"{part}: no classes; it should hold a folder of images for every class")
    return names


def _files(part: Path, classes: tuple[str, ...]) -> Files:
    """Every image below part's class folders, in order; part may lack classes of train, but has no others."""
    files = []
    for name in _classes(part):
        close = difflib.get_close_matches(name, classes, n=SHOWN, cutoff=0.0)
        require(name in classes, f"{part / name}: train has no such class; {allowed(name, close)}")
        found = sorted(path for path in (part / name).rglob("*") if is_image(path))
        require(found != [], f"{part / name}: no images; allowed: {', '.join(KINDS)}")
        files += [(path, classes.index(name)) for path in found]
    return files
