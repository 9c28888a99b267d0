"""Data sets of Hugging Face on disk: an image column or numeric columns, a column of classes, splits as they are."""

import hashlib
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.io.image_files import OnError, Size, files_of_one_shape, load
from ssvae_cli.datasets.io.images import Encoded, require_size
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.measurements import Measured, factors_of, labels_of, listed, measured_data, places_of
from ssvae_cli.datasets.npz import split_up
from ssvae_cli.datasets.splitting import Share
from ssvae_cli.datasets.table import class_words, factor_values, measured_frame
from ssvae_cli.errors import UserError, require, require_extra
from ssvae_cli.files import reading_as
from ssvae_cli.paths import existing

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk leaves in a folder
FILES = (".parquet", ".arrow")
PARTS = {"train": "_train", "test": "_test"} | dict.fromkeys(("validation", "val", "valid", "dev"), "_validation")


def huggingface(
    *,
    path: str,
    image: str | None = "auto",
    label: str | None = "auto",
    factors: list[str] | None = None,
    columns: list[str] | None = None,
    ignored: list[str] | None = None,
    size: Size = "auto",
    channels: Literal[1, 3] = 3,
    on_error: OnError = "raise",
    missing: Literal["raise", "drop"] = "raise",
    log1p: bool = False,
    standardise: bool = True,
    validation: int | float | None = None,
    test: int | float | None = None,
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
    fitted: dict[str, Any] | None = None,
) -> Data:
    """A Dataset or DatasetDict that save_to_disk wrote, or .parquet or .arrow files: one, or a folder of them.

    image: the column of images, auto: the only one, None: x are numbers. label: the column of classes, auto: the only
    ClassLabel, None: none. size, channels, on_error, memory_gb, workers: of images, as in `folder`. columns, ignored,
    factors, missing, log1p, standardise: of numbers, as in `table`; a column of lists of one length is several, v.0,
    v.1, .... What is not split is split by a hash of the sample. Raises UserError in one line.
    """
    require_size(size=size)
    require_place(path)
    require(columns != [], "columns must be null, all numeric ones, or name some, got []")
    fitted = fitted or {}
    parts, notes = _parts(path)
    features = next(iter(parts.values())).features
    if image == "auto":
        images = [] if columns or "columns" in fitted else _of_kind(features, "Image")
        require(len(images) <= 1, f"image: {path} has several columns of images, {listed(images)}; give image=COLUMN")
        image = images[0] if images else None
    if label == "auto":
        classes = _of_kind(features, "ClassLabel")
        label = classes[0] if len(classes) == 1 else None
    for setting, name in (("image", image), ("label", label)):
        places_of([name] if name is not None else [], list(features), f"{setting}={name}: {path}")
    for name, part in parts.items():
        fault = f"{path}: its parts have different columns, {listed(list(features))} and {listed(list(part.features))}"
        require(set(part.features) == set(features), fault)
        require(len(part) > 0, f"{path}: no samples in {name.strip('_') or 'it'}")
    kinds = features[label].names if label is not None and hasattr(features[label], "names") else ()
    sizes = {"validation": validation, "test": test, "limit": limit}
    if image is not None:
        fault = f"image={image}: {path}: this column holds no images; columns=[...] are numbers"
        require(image in _of_kind(features, "Image"), fault)
        places_of(factors or [], list(features), path)
        sides = {name: _image_files(part, image, path) for name, part in parts.items()}
        known = {}
        for name, part in parts.items():
            frame = _frame(part.select_columns([c for c in (label, *(factors or [])) if c is not None]), label, kinds)
            words = None if label is None else class_words(frame[label], path)
            values = {factor: factor_values(frame[factor], path) for factor in factors or []}
            known[name] = Measured(path, np.empty((len(part), 0)), (), words, values, classes=kinds)
        storage = Storage(memory_gb, workers)
        return _images(path, sides, known, size, channels, on_error, storage, fitted, sizes, notes)
    frames = {name: _frame(part, label, kinds) for name, part in parts.items()}
    roles = {"label": [label] if label else [], "factors": factors, "columns": columns, "ignored": ignored, "id": []}
    roles = {role: _expanded(names or [], list(next(iter(frames.values())))) for role, names in roles.items()}
    roles["columns"] = fitted.get("columns", roles["columns"])
    measured = {}
    for name, frame in frames.items():
        measured[name], more = measured_frame(frame, path, roles, missing)
        roles["columns"] = list(measured[name].columns)
        notes += more
    measured = {name: replace(part, classes=kinds) for name, part in measured.items()}
    scaling = {"total": None, "log1p": log1p, "standardise": standardise}
    return measured_data(measured, scaling, fitted, **sizes, notes=notes)


def suits(path: str) -> dict[str, str]:
    """What the data ask for."""
    try:
        parts, _ = _parts(path)
    except UserError:  # which the run reports
        return {}
    return {} if _of_kind(next(iter(parts.values())).features, "Image") else {"encoder": "mlp", "pairs": "noise"}


def require_place(path: str) -> Path:
    """The file or folder at a path. Raises UserError where there is none, or no library that reads it."""
    place = existing(path, "path")
    require_extra("huggingface", f"path={path}", "datasets")
    return place


def _parts(path: str) -> "tuple[dict[str, Dataset], list[str]]":
    """(The data sets by part: "", or _train and _test, each perhaps with _validation; notes)."""
    place = require_place(path)
    import datasets

    saved = any((place / name).is_file() for name in SAVED)
    if not saved:
        inside = [place] if place.is_file() else sorted(place.rglob("*"))
        files = [file for file in inside if file.suffix in FILES and file.is_file()]
        hint = "give a folder of save_to_disk, or .parquet or .arrow files"
        require(files != [], f"path={path}: no data set; {hint}")
    with reading_as("a data set", f"path={path}"):
        if saved:
            loaded = datasets.load_from_disk(str(place))
            named = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
        else:
            words = {file: re.split(r"[-_.]", file.stem)[0].lower() for file in files}
            by_name = {}
            for file in files:
                by_name.setdefault(words[file] if words[file] in PARTS else "", []).append(_read_file(file))
            named = {name: datasets.concatenate_datasets(several) for name, several in by_name.items()}
    require(named != {}, f"path={path}: no data set in it")
    if len(named) == 1:
        return {"": next(iter(named.values()))}, []
    parts = {PARTS[name.lower()]: part for name, part in named.items() if name.lower() in PARTS}
    require("_train" in parts, f"path={path}: several parts and no train: {listed(sorted(named))}")
    train = parts.pop("_train")
    parts = {"_train" if "_test" in parts else "": train, **parts}
    others = sorted(name for name in named if name.lower() not in PARTS)
    return parts, [f"{path}: left out, as neither train, validation nor test: {listed(others)}"] if others else []


def _read_file(file: Path) -> "Dataset":
    import datasets
    from pyarrow import parquet

    return (
        datasets.Dataset.from_file(str(file)) if file.suffix == ".arrow" else datasets.Dataset(parquet.read_table(file))
    )


def _of_kind(features: dict[str, Any], kind: str) -> list[str]:
    """The columns of a kind of feature, by the name of its class."""
    return [name for name, feature in features.items() if type(feature).__name__ == kind]


def _frame(part: "Dataset", label: str | None, kinds: list[str] | tuple[()]) -> "DataFrame":
    """The columns but those of images; classes by their names, lists of one length as a column for each place."""
    import pandas

    frame = part.remove_columns(_of_kind(part.features, "Image")).with_format(None).to_pandas()
    columns = {}
    for name in frame:
        values = frame[name]
        if name == label and len(kinds):
            values = values.map(lambda code: kinds[int(code)] if code == code and 0 <= code < len(kinds) else None)
        if values.dtype == object and len(values) and isinstance(values.iloc[0], (np.ndarray, list)):
            try:
                array = np.array([np.stack(v) if isinstance(v[0], np.ndarray) else v for v in values], np.float64)
                columns |= {f"{name}.{i}": column for i, column in enumerate(array.reshape(len(array), -1).T)}
                continue
            except (ValueError, TypeError, IndexError):  # lists of several lengths, or not of numbers
                pass
        columns[name] = values
    return pandas.DataFrame(columns)


def _expanded(names: list[str], columns: list[str]) -> list[str]:
    """Names of columns, a column of lists by all its places."""
    found = []
    for name in names:
        places = [column for column in columns if re.fullmatch(rf"{re.escape(name)}\.\d+", column)]
        found += places if places and name not in columns else [name]
    return found


def _image_files(part: "Dataset", image: str, path: str) -> list[Path | Encoded]:
    """The files of a column of images, not decoded."""
    import datasets

    stored = list(part.with_format(None).cast_column(image, datasets.Image(decode=False))[image])
    files = []
    for row, value in enumerate(stored):
        require(value is not None, f"{path}: {image} of row {row} is missing")
        named = f"{path}: {image} of row {row}"
        files.append(Path(value["path"]) if value["bytes"] is None else Encoded(named, value["bytes"]))
    return files


def _images(
    path: str,
    sides: dict[str, list[Path | Encoded]],
    known: dict[str, Measured],
    size: Size,
    channels: int,
    on_error: OnError,
    storage: Storage,
    fitted: dict[str, Any],
    sizes: dict[str, Share],
    notes: list[str],
) -> Data:
    """The splits of images; known: the labels and factors of each part."""
    labels, classes = labels_of(known, fitted.get("classes", ()))
    factors, columns = factors_of(known)
    every = [file for files in sides.values() for file in files]
    source, note = files_of_one_shape(every, size, channels, fitted.get("shape"))
    splits, start = {}, 0
    for name, files in sides.items():
        rows = np.arange(start, start + len(files))
        row = torch.from_numpy(rows)
        splits[name] = Streamed(source.rows(rows), labels[name], None, storage.processes, factors.get(name), row)
        start += len(files)
    names = [hashlib.sha256(f.content if isinstance(f, Encoded) else str(f).encode()).hexdigest() for f in every]
    divided = split_up(path, splits, **sizes, names=names)
    stream = storage.exceeded_by(sum(map(len, divided)) * math.prod(source.shape))
    starts = dict(zip(sides, np.cumsum([0, *map(len, sides.values())])))
    first = next(iter(sides))
    origins = (first, "_validation" if "_validation" in sides else first, "_test" if "_test" in sides else first)
    placed = {}
    for name, origin, split in zip(("train", "validation", "test"), origins, divided):
        loaded = load(split, name, on_error=on_error, stream=stream)
        placed[name] = replace(loaded, row=loaded.row - int(starts[origin]))
    return Data(
        **placed,
        classes=classes,
        factors=columns,
        fitted={"shape": list(source.shape), "classes": list(classes)},
        notes=tuple(filter(None, [*notes, note])),
    )
