"""Your own pairs: two modalities, or two sensors, of the same things."""

from pathlib import Path
from typing import Literal

import torch

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.io.arrays import images_or_vectors
from ssvae_cli.datasets.io.image_files import OnError, load, shape_of
from ssvae_cli.datasets.io.images import KINDS, ImageFiles, is_image, require_size
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.npz import read_npz, split_up
from ssvae_cli.errors import UserError, did_you_mean, require

UNLABELLED = -1
FOLDERS = ("x", "x2")


def paired(
    *,
    path: str,
    size: int | None,
    channels: Literal[1, 3],
    size2: int | None,
    channels2: Literal[1, 3],
    validation: int | None,
    test: int | None,
    on_error: OnError = "raise",
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
) -> Data:
    """x and x' of every sample, of kinds of their own: images or vectors.

    path: an .npz of x and x2 (or x_train and x2_train, ...) with perhaps labels and factors, as `npz` takes them; or a
    folder that holds x/ and x2/, in which images of the same name, whatever their suffix, belong together. size,
    channels (and 2) and on_error are for folders, as in `folder`; the other keys are those of `npz`.
    Raises UserError naming a file without a partner.
    """
    for key, value in {"size": size, "size2": size2}.items():
        require_size(value, key)
    storage = Storage(memory_gb, workers)
    base = Path(path).expanduser()
    require(base.exists(), f"path={path}: no such file or folder")
    if not base.is_dir():
        readers = {"x": images_or_vectors, "x2": images_or_vectors}
        return read_npz(path, readers, validation=validation, test=test, limit=limit, storage=storage)
    first, second = _partners(base)
    pairs = Streamed(
        ImageFiles(first, shape_of(first, size, channels, on_error), size),
        torch.full((len(first),), UNLABELLED),
        ImageFiles(second, shape_of(second, size2, channels2, on_error), size2),
        storage.processes,
    )
    split = load(pairs, on_error=on_error, stream=storage.exceeded_by(pairs.bytes))
    return Data(*split_up(path, {"": split}, validation=validation, test=test, limit=limit))


def _partners(base: Path) -> tuple[list[Path], list[Path]]:
    """The files below x/ and below x2/, in the same order of names."""
    found = []
    for folder in FOLDERS:
        held = ", ".join(sorted(p.name for p in base.iterdir())[:20])
        require((base / folder).is_dir(), f"{base / folder}: no such folder; x/ and x2/ are needed beside: {held}")
        paths = sorted(path for path in (base / folder).rglob("*") if is_image(path))
        require(paths != [], f"{base / folder}: no images; allowed: {', '.join(KINDS)}")
        names = [str(path.relative_to(base / folder).with_suffix("")) for path in paths]
        twice = next((name for name, after in zip(names, names[1:]) if name == after), None)
        require(twice is None, f"{base / folder}: two images are called {twice}; one a name is allowed")
        found.append(dict(zip(names, paths)))
    for here, there, folder in ((0, 1, "x2"), (1, 0, "x")):
        lonely = sorted(found[here].keys() - found[there].keys())
        if lonely:
            close = did_you_mean(lonely[0], found[there].keys() - found[here].keys())
            more = f"; so have {len(lonely) - 1} others" if len(lonely) > 1 else ""
            raise UserError(f"{found[here][lonely[0]]} has no partner of that name in {base / folder}{more}{close}")
    return [found[0][name] for name in found[0]], [found[1][name] for name in found[0]]
