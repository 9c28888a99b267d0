"""Your own pairs: two modalities, or two sensors, of the same things."""

from pathlib import Path
from typing import Any, Literal

import torch

from ssvae_cli.datasets.base import UNLABELLED, Data
from ssvae_cli.datasets.io.arrays import images_or_vectors
from ssvae_cli.datasets.io.image_files import OnError, Size, files_of_one_shape, load
from ssvae_cli.datasets.io.images import image_paths, require_size
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.npz import read_npz, split_up
from ssvae_cli.datasets.suits import of_two_sides as suits  # noqa: F401, for the command line
from ssvae_cli.errors import UserError, agreeing, counted, did_you_mean, require
from ssvae_cli.paths import existing


def paired(
    *,
    path: str,
    size: Size,
    channels: Literal[1, 3],
    size2: Size,
    channels2: Literal[1, 3],
    validation: int | float | None,
    test: int | float | None,
    on_error: OnError = "raise",
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
    fitted: dict[str, Any] | None = None,
) -> Data:
    """x and x' of every sample, each images or vectors, not necessarily the same.

    path: an .npz of x and x2 (or x_train and x2_train, ...) with optional labels and factors, as in `npz`; or a folder
    of x/ and x2/, in which images of the same name, whatever their suffix, are pairs. size, channels (and 2) and
    on_error are for folders, as in `folder`; the other keys are those of `npz`. Raises UserError naming a file without
    a partner.
    """
    require_size(size=size, size2=size2)
    sizes = {"validation": validation, "test": test, "limit": limit}
    storage = Storage(memory_gb, workers)
    base = existing(path, "path")
    if not base.is_dir():
        return read_npz(path, {"x": images_or_vectors, "x2": images_or_vectors}, storage, **sizes)
    names, paths, paths2 = _partners(base)
    fitted = fitted or {}
    x, note = files_of_one_shape(paths, size, channels, fitted.get("shape"))
    x2, note2 = files_of_one_shape(paths2, size2, channels2, fitted.get("shape2"))
    pairs = Streamed(x, torch.full((len(x),), UNLABELLED), x2, storage.processes, row=torch.arange(len(x)))
    split = load(pairs, on_error=on_error, stream=storage.exceeded_by(pairs.bytes))
    return Data(
        *split_up(path, {"": split}, names=names, **sizes),
        names=names,
        fitted={"shape": list(x.shape), "shape2": list(x2.shape)},
        notes=tuple(filter(None, (note, note2))),
    )


def _partners(base: Path) -> tuple[list[str], list[Path], list[Path]]:
    """(Names, the files below x/, those below x2/), in the same order."""
    x, x2 = _by_name(base, "x"), _by_name(base, "x2")
    for files, others, folder in ((x, x2, "x2"), (x2, x, "x")):
        lonely = sorted(files.keys() - others.keys())
        if lonely:
            close = did_you_mean(lonely[0], others.keys() - files.keys())
            further = len(lonely) - 1
            more = f"; nor {agreeing(further, 'has', 'have')} {counted(further, 'other')}" if further else ""
            raise UserError(f"{files[lonely[0]]} has no partner of that name in {base / folder}{more}{close}")
    return list(x), list(x.values()), [x2[name] for name in x]


def _by_name(base: Path, folder: str) -> dict[str, Path]:
    """The images below a folder by their path in it, without suffix."""
    present = ", ".join(sorted(path.name for path in base.iterdir())[:20])
    require((base / folder).is_dir(), f"{base / folder}: no such folder; x/ and x2/ are needed, found: {present}")
    paths, _ = image_paths(base / folder)
    names = [str(path.relative_to(base / folder).with_suffix("")) for path in paths]
    duplicate = next((name for name, following in zip(names, names[1:]) if name == following), None)
    require(duplicate is None, f"{base / folder}: two images are called {duplicate}; names must be unique")
    return dict(zip(names, paths))
