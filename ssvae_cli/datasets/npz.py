"""Your own arrays, from one .npz file: images or vectors; what `sequences` and `paired` read is checked here too."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.base import UNLABELLED, Data, Factor, Split, draw, hold_out, limited
from ssvae_cli.datasets.io.arrays import images_or_vectors
from ssvae_cli.datasets.io.npz_file import load
from ssvae_cli.datasets.io.rows import Rows
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import allowed, require

PARTS = ("", "_train", "_test", "_validation")  # what the names of arrays end with; "" if the file has one part
OPTIONAL = ("y", "factors")
NAMES = "factor_names"

Arrays = dict[str, dict[str, np.ndarray]]  # by part and name
Reader = Callable[[str, np.ndarray], Rows]  # (where the array is, for error messages; the array) -> samples


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
    [N, D]. Optional labels are y_train, ... or y: integers [N], -1 for none. Optional factors are factors_train, ... or
    factors: numbers [N, F], or integers for categories; factor_names: words [F]. validation, test: the samples drawn
    for each if the file has no such array; null: a tenth. limit: train on this many; null: all. memory_gb: arrays that
    exceed it stay in the file, and are streamed by `workers` processes, null: one per core. Raises UserError naming the
    file, the key and what it should hold. Nothing in the file is unpickled.
    """
    sizes = {"validation": validation, "test": test, "limit": limit}
    return read_npz(path, {"x": images_or_vectors}, Storage(memory_gb, workers), **sizes)


def read_npz(path: str, readers: dict[str, Reader], storage: Storage, **sizes: int | None) -> Data:
    """The splits of a file that holds every array of `readers`, and perhaps y and factors; sizes: as in `split_up`."""
    arrays = load(path, [f"{name}{part}" for name in readers for part in PARTS], storage)
    names = arrays.pop(NAMES, None)
    parts = _parts(path, arrays, readers)
    samples = {
        part: {key: read(f"{path}: {key}{part}", named[key]) for key, read in readers.items()}
        for part, named in parts.items()
    }
    for key in readers:
        shapes = {f"{key}{part}": "x".join(map(str, rows[key].shape)) for part, rows in samples.items()}
        _require_equal(shapes, f"{path}: {key} must have one shape in all parts")
    for part, named in parts.items():
        _require_equal({f"{key}{part}": len(array) for key, array in named.items()}, f"{path}: one row per sample")
    labels, classes = _labels(path, parts)
    factors, columns = _factors(path, parts, names)
    splits = {}
    for part, rows in samples.items():
        row = torch.arange(len(rows["x"]))
        splits[part] = Streamed(rows["x"], labels[part], rows.get("x2"), storage.processes, factors.get(part), row)
    return Data(*storage.place(*split_up(path, splits, **sizes)), classes=classes, factors=columns)


def split_up(
    place: str, splits: dict[str, Streamed | Split], *, validation: int | None, test: int | None, limit: int | None
) -> tuple[Streamed | Split, ...]:
    """(train, validation, test) of one split "", or of _train and _test and perhaps _validation."""
    if "" in splits:
        total = len(splits[""])
        require(total >= 3, f"{place}: at least 3 samples are needed, one for train, validation and test, got {total}")
        test = max(1, total // 10) if test is None else test
        require(1 <= test <= total - 2, f"test must lie between 1 and {total - 2} of {total} samples, got {test}")
        tests, train = (splits[""].rows(rows) for rows in draw(total, test))
    else:
        require(test is None, f"test must be null, as {place} has its own x_test; got {test}")
        train, tests = splits["_train"], splits["_test"]
    if "_validation" in splits:
        require(validation is None, f"validation must be null, as {place} has its own; got {validation}")
        return limited(train, limit), splits["_validation"], tests
    train, validations = hold_out(train, max(1, len(train) // 10) if validation is None else validation)
    return limited(train, limit), validations, tests


def _parts(path: str, arrays: dict[str, np.ndarray], needed: dict[str, Reader]) -> Arrays:
    """The arrays by part and name: "" alone, or _train, _test and perhaps _validation."""
    names = (*needed, *OPTIONAL)
    known = [f"{name}{part}" for name in names for part in PARTS]
    for key in arrays:
        require(key in known, f"{path}: unknown array '{key}'; {allowed(key, [*known, NAMES])}")
    parts = {name: {part for part in PARTS if f"{name}{part}" in arrays} for name in names}
    present = ", ".join(sorted(arrays)) or "nothing"
    for name in needed:
        complete = parts[name] == {""} or parts[name] - {"_validation"} == {"_train", "_test"}
        require(complete, f"{path}: it must hold either {name} or both {name}_train and {name}_test, got {present}")
    for name in names:
        absent = name in OPTIONAL and not parts[name]
        wanted = ", ".join(sorted(f"{name}{part}" for part in parts["x"]))
        wanted += f", or no {name} at all" if name in OPTIONAL else ""
        require(absent or parts[name] == parts["x"], f"{path}: it must hold {wanted}, got {present}")
    return {part: {name: arrays[f"{name}{part}"] for name in names if part in parts[name]} for part in parts["x"]}


def _labels(path: str, parts: Arrays) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(int64 [N] for every part, 0 for the smallest label in the file and so on; the labels as words)."""
    labels = {part: named["y"] for part, named in parts.items() if "y" in named}
    if not labels:
        return {part: torch.full((len(named["x"]),), UNLABELLED) for part, named in parts.items()}, ()
    for part, y in labels.items():
        integers = y.dtype.kind in "iu" and y.ndim == 1
        require(integers, f"{path}: y{part} must be integers, [N], got {y.dtype} {list(y.shape)}")
        require(int(y.min()) >= UNLABELLED, f"{path}: y{part} must be at least 0, or -1 for no label, got {y.min()}")
    labels = {part: y.astype(np.int64) for part, y in labels.items()}
    values = np.setdiff1d(np.concatenate(list(labels.values())), [UNLABELLED])  # sorted
    y = {part: np.where(y == UNLABELLED, UNLABELLED, np.searchsorted(values, y)) for part, y in labels.items()}
    return {part: torch.from_numpy(indices) for part, indices in y.items()}, tuple(map(str, values))


def _factors(path: str, parts: Arrays, names: np.ndarray | None) -> tuple[dict[str, Tensor], tuple[Factor, ...]]:
    """(float32 [N, F] or [N, T, F] for every part, or none; the columns)."""
    factors = {part: named["factors"] for part, named in parts.items() if "factors" in named}
    if not factors:
        require(names is None, f"{path}: factor_names, but no factors")
        return {}, ()
    for part, values in factors.items():
        here = f"{path}: factors{part}"
        require(values.ndim in (2, 3), f"{here} must be [N, F], or [N, T, F] for sequences, got {list(values.shape)}")
        require(values.dtype.kind in "fiu", f"{here} must be numbers, or integers for categories, got {values.dtype}")
        require(bool(np.isfinite(values).all()), f"{here} has values that are NaN or infinite")
        require(values.dtype.kind == "f" or int(values.min()) >= 0, f"{here}: categories must be at least 0")
    kinds = {(values.shape[-1], values.dtype.kind == "f") for values in factors.values()}
    require(len(kinds) == 1, f"{path}: factors must have the same columns in all parts")
    ((count, numbers),) = kinds
    words = [f"factor{i}" for i in range(count)] if names is None else [str(name) for name in np.atleast_1d(names)]
    require(len(words) == count, f"{path}: factor_names must be {count} words, one per column, got {len(words)}")
    largest = np.max([values.max(axis=tuple(range(values.ndim - 1))) for values in factors.values()], axis=0)
    columns = tuple(Factor(word, None if numbers else int(top) + 1) for word, top in zip(words, largest))
    return {part: torch.from_numpy(values.astype(np.float32)) for part, values in factors.items()}, columns


def _require_equal(values: dict[str, object], message: str) -> None:
    """Raise UserError, listing the values by name, unless they are all equal."""
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    require(len(set(values.values())) == 1, f"{message}, got {listed}")
