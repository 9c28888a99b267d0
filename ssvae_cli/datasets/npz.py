"""Your own arrays, from one .npz file: images or vectors; what `sequences` and `paired` read is checked here too."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Factor, Split, draw, hold_out, limited
from ssvae_cli.datasets.io.arrays import images_or_vectors
from ssvae_cli.datasets.io.npz_file import load
from ssvae_cli.datasets.io.rows import Rows
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import allowed, require

PARTS = ("_train", "_test", "_validation")
UNLABELLED = -1
NAMES = "factor_names"

Reader = Callable[[str, np.ndarray], Rows]  # (where the array is, for an error line; the array) -> samples


def npz(
    *,
    path: str,
    validation: int | None,
    test: int | None,
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
) -> Data:
    """Arrays x_train, x_test and perhaps x_validation, or one x that is split here.

    Images are uint8, or floats in [0, 1], which become 8 bits: [N, C, H, W], or [N, H, W] for grey. Vectors are floats,
    [N, D]. Labels, if there are any, are y_train, ... or y: integers [N], -1 where there is none. Known factors, if
    there are any, are factors_train, ... or factors: numbers [N, F], or integers for categories; factor_names: words
    [F]. validation, test: how many samples are drawn for each where the file has no such array; null: a tenth.
    limit: train on this many; null: all. memory_gb: arrays that take more than this stay in the file, and are streamed
    by `workers` processes, null: one a core. Raises UserError naming the file, the key and what it should hold. Nothing
    in the file is unpickled.
    """
    storage = Storage(memory_gb, workers)
    return read_npz(path, {"x": images_or_vectors}, validation=validation, test=test, limit=limit, storage=storage)


def read_npz(
    path: str,
    readers: dict[str, Reader],
    *,
    validation: int | None,
    test: int | None,
    limit: int | None,
    storage: Storage,
) -> Data:
    """The splits of a file that holds every array of `readers`, and perhaps y and factors."""
    arrays = load(path, [f"{name}{part}" for name in readers for part in ("", *PARTS)], storage)
    names = arrays.pop(NAMES, None)
    parts = _parts(path, arrays, readers)
    samples = {
        part: {key: read(f"{path}: {key}{part}", held[key]) for key, read in readers.items()}
        for part, held in parts.items()
    }
    for key in readers:
        shapes = {f"{key}{part}": "x".join(map(str, held[key].shape)) for part, held in samples.items()}
        alike = len(set(shapes.values())) == 1
        require(alike, f"{path}: {key} must be alike in all parts, got {_listed(shapes)}")
    for part, held in parts.items():
        counts = {f"{key}{part}": len(array) for key, array in held.items()}
        require(len(set(counts.values())) == 1, f"{path}: one row a sample, got {_listed(counts)}")
    labels, classes = _labels(path, parts)
    known, factors = _factors(path, parts, names)
    splits = {
        part: Streamed(
            held["x"],
            labels[part],
            held.get("x2"),
            storage.processes,
            known.get(part),
            row=torch.arange(len(held["x"])),
        )
        for part, held in samples.items()
    }
    cut = split_up(path, splits, validation=validation, test=test, limit=limit)
    return Data(*storage.place(*cut), classes=classes, factors=factors)


def split_up(
    place: str, splits: dict[str, Streamed | Split], *, validation: int | None, test: int | None, limit: int | None
) -> tuple[Streamed | Split, ...]:
    """(train, validation, test) of one split "", or of _train and _test and perhaps _validation."""
    if "" in splits:
        total = len(splits[""])
        require(total >= 3, f"{place}: at least 3 samples are needed, one for train, validation and test, got {total}")
        test = max(1, total // 10) if test is None else test
        require(1 <= test <= total - 2, f"test must lie between 1 and {total - 2} of {total} samples, got {test}")
        tested, rest = draw(total, test)
        train, tests = splits[""].rows(rest), splits[""].rows(tested)
    else:
        require(test is None, f"test must be null, as {place} has its own x_test; got {test}")
        train, tests = splits["_train"], splits["_test"]
    if "_validation" in splits:
        require(validation is None, f"validation must be null, as {place} has its own; got {validation}")
        held = splits["_validation"]
    else:
        train, held = hold_out(train, max(1, len(train) // 10) if validation is None else validation)
    return limited(train, limit), held, tests


def _parts(path: str, arrays: dict[str, np.ndarray], needed: dict[str, Reader]) -> dict[str, dict[str, np.ndarray]]:
    """The arrays by part and name: "" alone, or _train, _test and perhaps _validation."""
    optional = ("y", "factors")
    known = [f"{name}{part}" for name in (*needed, *optional) for part in ("", *PARTS)]
    for key in arrays:
        require(key in known, f"{path}: unknown array '{key}'; {allowed(key, [*known, NAMES])}")
    of = {name: {part for part in ("", *PARTS) if f"{name}{part}" in arrays} for name in (*needed, *optional)}
    held = ", ".join(sorted(arrays)) or "nothing"
    for name in needed:
        require(
            of[name] == {""} or of[name] - {"_validation"} == {"_train", "_test"},
            f"{path}: it must hold either {name} or both {name}_train and {name}_test, got {held}",
        )
    for name in (*needed, *optional):
        wanted = ", ".join(sorted(f"{name}{part}" for part in of["x"]))
        without = f", or no {name} at all" if name in optional else ""
        require(
            of[name] == of["x"] or (name in optional and not of[name]),
            f"{path}: it must hold {wanted}{without}, got {held}",
        )
    return {part: {name: arrays[f"{name}{part}"] for name in of if part in of[name]} for part in of["x"]}


def _labels(path: str, parts: dict[str, dict[str, np.ndarray]]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(int64 [N] for every part, 0 for the smallest label in the file and so on; the labels as words)."""
    given = {part: held["y"] for part, held in parts.items() if "y" in held}
    if not given:
        return {part: torch.full((len(held["x"]),), UNLABELLED) for part, held in parts.items()}, ()
    for part, y in given.items():
        require(
            y.dtype.kind in "iu" and y.ndim == 1,
            f"{path}: y{part} must be integers, [{len(y) if y.ndim else 'N'}], got {y.dtype} {list(y.shape)}",
        )
        require(int(y.min()) >= UNLABELLED, f"{path}: y{part} must be at least 0, or -1 for no label, got {y.min()}")
    whole = {part: y.astype(np.int64) for part, y in given.items()}
    values = np.unique(np.concatenate(list(whole.values())))
    values = values[values != UNLABELLED]
    found = {part: np.where(y == UNLABELLED, UNLABELLED, np.searchsorted(values, y)) for part, y in whole.items()}
    return {part: torch.from_numpy(y) for part, y in found.items()}, tuple(str(v) for v in values)


def _factors(
    path: str, parts: dict[str, dict[str, np.ndarray]], names: np.ndarray | None
) -> tuple[dict[str, Tensor], tuple[Factor, ...]]:
    """(float32 [N, F] or [N, T, F] for every part, or none; the columns)."""
    given = {part: held["factors"] for part, held in parts.items() if "factors" in held}
    if not given:
        require(names is None, f"{path}: factor_names, but no factors")
        return {}, ()
    for part, factors in given.items():
        here = f"{path}: factors{part}"
        require(factors.ndim in (2, 3), f"{here} must be [N, F], or [N, T, F] for sequences, got {list(factors.shape)}")
        require(factors.dtype.kind in "fiu", f"{here} must be numbers, or integers for categories, got {factors.dtype}")
        require(bool(np.isfinite(factors).all()), f"{here} has values that are NaN or infinite")
        require(factors.dtype.kind == "f" or int(factors.min()) >= 0, f"{here}: categories must be at least 0")
    columns, kinds = {f.shape[-1] for f in given.values()}, {f.dtype.kind == "f" for f in given.values()}
    require(len(columns) == len(kinds) == 1, f"{path}: factors must be alike in all parts")
    (count,), (numbers,) = columns, kinds
    words = [f"factor{i}" for i in range(count)] if names is None else [str(name) for name in np.atleast_1d(names)]
    require(len(words) == count, f"{path}: factor_names must be {count} words, one a column, got {len(words)}")
    most = np.max([f.max(axis=tuple(range(f.ndim - 1))) for f in given.values()], axis=0)
    factors = tuple(Factor(word, None if numbers else int(m) + 1) for word, m in zip(words, most))
    return {part: torch.from_numpy(f.astype(np.float32)) for part, f in given.items()}, factors


def _listed(words: dict[str, object]) -> str:
    return ", ".join(f"{key} {word}" for key, word in words.items())
