"""Your own arrays, from one .npz file."""

import zipfile
from pathlib import Path

import numpy as np
import torch

from ssvae_cli.datasets.base import Data, Split, draw, hold_out, limited
from ssvae_cli.errors import UserError, nearest, require

SPLIT_IN_FILE = ("x_train", "x_test", "x_validation")
KEYS = ("x", "y", *SPLIT_IN_FILE, *(name.replace("x", "y", 1) for name in SPLIT_IN_FILE))
UNLABELLED = -1


def npz(*, path: str, validation: int | None, test: int | None, limit: int | None = None) -> Data:
    """Images of an .npz file: x_train, x_test and perhaps x_validation, or one x that is split here.

    Each is [N, C, H, W] with C 1 or 3, or [N, H, W] for grey: uint8, or floats in [0, 1], which become 8 bits. Labels,
    if there are any, are y_train, ... or y: integers [N], -1 where there is none. validation, test: how many images
    are drawn for each where the file has no such array; null: a tenth. limit: train on this many; null: all.
    Raises UserError naming the file, the key and what it should hold. Nothing in the file is unpickled.
    """
    arrays = _load(path)
    _check_keys(path, arrays)
    images = {key: _images(path, key, a) for key, a in arrays.items() if key[0] == "x"}
    labels, classes = _labels(path, {key: a for key, a in arrays.items() if key[0] == "y"}, images)
    splits = {key: Split(x, labels[key]) for key, x in images.items()}
    shapes = {key: "x".join(map(str, x.shape[1:])) for key, x in images.items()}
    require(len(set(shapes.values())) == 1, f"{path}: images must all be alike, got {_listed(shapes)}")

    if "x" in splits:
        total = len(splits["x"])
        test = max(1, total // 10) if test is None else test
        require(
            1 <= test <= total - 2, f"dataset.test must lie between 1 and {total - 2} of {total} images, got {test}"
        )
        tested, rest = draw(total, test)
        train, tests = splits["x"].rows(rest), splits["x"].rows(tested)
    else:
        require(test is None, f"dataset.test must be null, as {path} has its own x_test; got {test}")
        train, tests = splits["x_train"], splits["x_test"]
    if "x_validation" in splits:
        require(validation is None, f"dataset.validation must be null, as {path} has its own; got {validation}")
        held = splits["x_validation"]
    else:
        train, held = hold_out(train, max(1, len(train) // 10) if validation is None else validation)
    return Data(limited(train, limit), held, tests, classes)


def _load(path: str) -> dict[str, np.ndarray]:
    file = Path(path).expanduser()
    require(file.is_file(), f"dataset.path={path}: no such file")
    try:
        loaded = np.load(file, allow_pickle=False)
        require(
            isinstance(loaded, np.lib.npyio.NpzFile), f"dataset.path={path}: one array, not an .npz of named arrays"
        )
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else str(error).splitlines()[0]
        raise UserError(f"dataset.path={path}: cannot be read as an .npz of plain arrays ({reason})") from error


def _check_keys(path: str, arrays: dict[str, np.ndarray]) -> None:
    for key in arrays:
        require(key in KEYS, f"{path}: unknown array '{key}'; {nearest(key, KEYS)}")
    images = {key for key in arrays if key[0] == "x"}
    require(
        images == {"x"} or images - {"x_validation"} == {"x_train", "x_test"},
        f"{path}: it must hold either x or both x_train and x_test, got {', '.join(sorted(arrays)) or 'nothing'}",
    )
    labels = {key for key in arrays if key[0] == "y"}
    wanted = {key.replace("x", "y", 1) for key in images}
    require(
        labels in (set(), wanted),
        f"{path}: it must hold {', '.join(sorted(wanted))} or no labels, got {', '.join(sorted(labels))}",
    )


def _images(path: str, key: str, x: np.ndarray) -> torch.Tensor:
    """uint8 [N, C, H, W]."""
    here = f"{path}: {key}"
    shape = list(x.shape)
    if x.ndim == 3:
        x = x[:, None]
    last = x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3)
    require(not last, f"{here} has channels last, {shape}; give {key}.transpose(0, 3, 1, 2)")
    require(
        x.ndim == 4 and x.shape[1] in (1, 3), f"{here} must be [N, C, H, W] with C 1 or 3, or [N, H, W], got {shape}"
    )
    require(x.size > 0, f"{here} is empty, {shape}")
    if x.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(x))
    require(x.dtype.kind == "f", f"{here} must be uint8, or floats in [0, 1], got {x.dtype}")
    require(bool(np.isfinite(x).all()), f"{here} has values that are NaN or infinite")
    low, high = float(x.min()), float(x.max())
    require(
        0 <= low and high <= 1, f"{here}: floats must lie in [0, 1], got {low:g} to {high:g}; uint8 is for 0 to 255"
    )
    return torch.from_numpy(np.ascontiguousarray(np.rint(x * 255).astype(np.uint8)))


def _labels(
    path: str, arrays: dict[str, np.ndarray], images: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """(int64 [N] for every key of `images`, 0 for the smallest label in the file and so on; the labels as words)."""
    if not arrays:
        return {key: torch.full((len(x),), UNLABELLED) for key, x in images.items()}, ()
    for key, y in arrays.items():
        count = len(images[key.replace("y", "x", 1)])
        require(
            y.dtype.kind in "iu" and y.shape == (count,),
            f"{path}: {key} must be integers, [{count}], got {y.dtype} {list(y.shape)}",
        )
        require(int(y.min()) >= UNLABELLED, f"{path}: {key} must be at least 0, or -1 for no label, got {y.min()}")
    values = np.unique(np.concatenate([y.astype(np.int64) for y in arrays.values()]))
    values = values[values != UNLABELLED]
    found = {}
    for key, y in arrays.items():
        rank = torch.from_numpy(np.searchsorted(values, y.astype(np.int64)))
        found[key.replace("y", "x", 1)] = torch.where(
            torch.from_numpy(y.astype(np.int64)) == UNLABELLED, UNLABELLED, rank
        )
    return found, tuple(str(v) for v in values)


def _listed(words: dict[str, str]) -> str:
    return ", ".join(f"{key} {word}" for key, word in words.items())
