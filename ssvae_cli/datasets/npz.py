"""Your own arrays, from one .npz file: images or vectors; what `sequences` and `paired` read is checked here too."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.base import UNLABELLED, Data, Factor, Split, limited
from ssvae_cli.datasets.io.arrays import images_or_vectors, numbered, require_range, warn_of_rounding
from ssvae_cli.datasets.io.npz_file import load
from ssvae_cli.datasets.io.rows import Rows
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.splitting import Share, by_draw, by_hash
from ssvae_cli.datasets.suits import of_arrays as suits  # noqa: F401, for the command line
from ssvae_cli.device import array_type, floats
from ssvae_cli.errors import allowed, counted, require
from ssvae_cli.paths import existing_file

PARTS = ("", "_train", "_test", "_validation")  # what the names of arrays end with; "" if the file has one part
OPTIONAL = ("y", "factors")
LENGTH = "length"
NAMES = "factor_names"

Arrays = dict[str, dict[str, np.ndarray]]  # by part and name
Prepare = Callable[[str, Arrays], Arrays]  # (the file, its arrays) -> its arrays, by part and name
Reader = Callable[[str, np.ndarray], Rows]  # (where the array is, for error messages; the array) -> samples


def npz(
    *,
    path: str,
    validation: int | float | None,
    test: int | float | None,
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
) -> Data:
    """Arrays x_train, x_test and perhaps x_validation, or one x that is split here.

    Images are integers of 0 to 255, or floats in [0, 1], which become 8 bits: [N, C, H, W], or [N, H, W] for grey.
    Vectors are numbers, [N, D]. Optional labels are y_train, ... or y: integers [N], -1 for none, or words. Optional
    factors are factors_train, ... or factors: floats [N, F] for numbers, integers or words for categories;
    factor_names: words [F]. validation, test: how many samples, or which share, are drawn for each if the file has no
    such array; null: a tenth. limit: train on this many; null: all. memory_gb: arrays that exceed it stay in the file,
    and are streamed by `workers` processes, null: one per core. Raises UserError naming the file, the key and what it
    should hold. Nothing in the file is unpickled.
    """
    existing_file(path, "path")
    sizes = {"validation": validation, "test": test, "limit": limit}
    return read_npz(path, {"x": images_or_vectors}, Storage(memory_gb, workers), **sizes)


def read_npz(
    path: str, readers: dict[str, Reader], storage: Storage, *, prepare: Prepare | None = None, **sizes: Share
) -> Data:
    """The splits of a file that holds every array of `readers`, and perhaps y and factors; sizes: as in `split_up`.
    prepare: of sequences, what is done to the arrays first; they may then have an array `length`, [N]."""
    optional = OPTIONAL if prepare is None else (*OPTIONAL, LENGTH)
    arrays = load(path, [f"{name}{part}" for name in readers for part in PARTS], storage)
    names = arrays.pop(NAMES, None)
    parts = _parts(path, arrays, (*readers, *optional), readers)
    if prepare is not None:
        parts = prepare(path, parts)
    samples = {
        part: {key: read(f"{path}: {key}{part}", named[key]) for key, read in readers.items()}
        for part, named in parts.items()
    }
    for key in readers:
        shapes = {f"{key}{part}": "x".join(map(str, rows[key].shape)) for part, rows in samples.items()}
        _require_equal(shapes, f"{path}: {key} must have one shape in all parts")
    for part, key in ((part, key) for part in samples for key in readers if samples[part][key].dtype == array_type()):
        warn_of_rounding(f"{path}: {key}{part}", parts[part][key])
    for part, named in parts.items():
        _require_equal({f"{key}{part}": len(array) for key, array in named.items()}, f"{path}: one row per sample")
    labels, classes = _labels(path, parts, by_step=prepare is not None)
    factors, columns = _factors(path, parts, names, by_step=prepare is not None)
    splits = {}
    for part, rows in samples.items():
        row = torch.arange(len(rows["x"]))
        length = torch.from_numpy(parts[part][LENGTH].astype(np.int64)) if LENGTH in parts[part] else None
        known = (labels[part], rows.get("x2"), storage.processes, factors.get(part), row, length)
        splits[part] = Streamed(rows["x"], *known)
    return Data(*storage.place(*split_up(path, splits, **sizes)), classes=classes, factors=columns)


def split_up(
    place: str,
    splits: dict[str, Streamed | Split],
    *,
    validation: Share,
    test: Share,
    limit: int | None,
    names: Sequence[str] = (),
) -> tuple[Streamed | Split, ...]:
    """(train, validation, test) of one split "", or of _train and _test and perhaps _validation.

    names: of the samples, which `row` of a split counts; what is held out then depends on these alone."""

    def hold_out(split: Streamed | Split, share: Share, setting: str) -> tuple[Streamed | Split, Streamed | Split]:
        named = [names[i] for i in split.row.tolist()] if names else None
        rest, held_out = by_hash(named, share, setting) if named else by_draw(len(split), share, setting)
        return split.rows(rest), split.rows(held_out)

    if "" in splits:
        total = len(splits[""])
        require(total >= 3, f"{place}: at least 3 samples are needed, one for train, validation and test, got {total}")
        train, tests = hold_out(splits[""], test, "test")
    else:
        require(test is None, f"test must be null, as {place} has its own test; got {test}")
        train, tests = splits["_train"], splits["_test"]
    if "_validation" in splits:
        require(validation is None, f"validation must be null, as {place} has its own; got {validation}")
        return limited(train, limit), splits["_validation"], tests
    train, validations = hold_out(train, validation, "validation")
    return limited(train, limit), validations, tests


def _parts(path: str, arrays: dict[str, np.ndarray], names: tuple[str, ...], needed: dict[str, Reader]) -> Arrays:
    """The arrays by part and name: "" alone, or _train, _test and perhaps _validation."""
    known = [f"{name}{part}" for name in names for part in PARTS]
    for key in arrays:
        require(key in known, f"{path}: unknown array '{key}'; {allowed(key, [*known, NAMES])}")
    parts = {name: {part for part in PARTS if f"{name}{part}" in arrays} for name in names}
    present = ", ".join(sorted(arrays)) or "nothing"
    for name in needed:
        complete = parts[name] == {""} or parts[name] - {"_validation"} == {"_train", "_test"}
        require(complete, f"{path}: it must hold either {name} or both {name}_train and {name}_test, got {present}")
    for name in names:
        absent = name not in needed and not parts[name]
        wanted = ", ".join(sorted(f"{name}{part}" for part in parts["x"]))
        wanted += f", or no {name} at all" if name not in needed else ""
        require(absent or parts[name] == parts["x"], f"{path}: it must hold {wanted}, got {present}")
    return {part: {name: arrays[f"{name}{part}"] for name in names if part in parts[name]} for part in parts["x"]}


def _labels(path: str, parts: Arrays, *, by_step: bool) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(int64 [N] for every part, -1 without a label; the labels as words)."""
    labels = {part: named["y"] for part, named in parts.items() if "y" in named}
    if not labels:
        return {part: torch.full((len(named["x"]),), UNLABELLED) for part, named in parts.items()}, ()
    for part, y in labels.items():
        fits = y.dtype.kind in "iubSU" and y.ndim == 1
        several = "[N, T, 1], labels of single steps" if by_step and y.ndim > 1 else "[N, F], numbers or several labels"
        wanted = f"{path}: y{part} must be integers or words, [N], got {y.dtype} {list(y.shape)}"
        require(fits, f"{wanted}; factors{part} are {several}")
        lowest = int(y.min(initial=0)) if y.dtype.kind in "iu" else 0
        require(lowest >= UNLABELLED, f"{path}: y{part} must be at least 0, or -1 for no label, got {lowest}")
    return numbered(labels)


def _factors(
    path: str, parts: Arrays, names: np.ndarray | None, *, by_step: bool
) -> tuple[dict[str, Tensor], tuple[Factor, ...]]:
    """([N, F] for every part or, if they may be given by the step, [N, T, F], or none; the columns)."""
    factors = {part: named["factors"] for part, named in parts.items() if "factors" in named}
    if not factors:
        require(names is None, f"{path}: factor_names, but no factors")
        return {}, ()
    for part, values in factors.items():
        here = f"{path}: factors{part}"
        fits = values.ndim == 2 or values.ndim == 3 and by_step
        wanted = "[N, F], or [N, T, F] by the step" if by_step else "[N, F]"
        require(fits and 0 not in values.shape, f"{here} must be {wanted}, got {list(values.shape)}")
        require(
            values.dtype.kind in "fiubSU",
            f"{here} must be numbers, or integers or words for categories, got {values.dtype}",
        )
        if values.dtype.kind == "f":
            require_range(here, values)
            warn_of_rounding(here, values)
    kinds = {(values.shape[1:], values.dtype.kind == "f") for values in factors.values()}
    require(len(kinds) == 1, f"{path}: factors must have the same columns, and steps, in all parts")
    (((*_, count), numbers),) = kinds
    words = [f"factor{i}" for i in range(count)] if names is None else [str(name) for name in np.atleast_1d(names)]
    wanted = f"factor_names must be {counted(count, 'word')}, one per column"
    require(len(words) == count, f"{path}: {wanted}, got {len(words)}")
    fits = len(set(words)) == count and all(word and word.isprintable() for word in words)
    require(fits, f"{path}: factor_names must be different words, got {words}")
    if numbers:
        return {part: torch.from_numpy(v.astype(array_type())) for part, v in factors.items()}, tuple(
            map(Factor, words)
        )
    columns = [numbered({part: values[..., i] for part, values in factors.items()}) for i in range(count)]
    codes = {part: floats(torch.stack([column[part] for column, _ in columns], -1)) for part in factors}
    return codes, tuple(Factor(word, len(values)) for word, (_, values) in zip(words, columns))


def _require_equal(values: dict[str, object], message: str) -> None:
    """Raise UserError, listing the values by name, unless they are all equal."""
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    require(len(set(values.values())) == 1, f"{message}, got {listed}")
