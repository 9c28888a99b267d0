"""Your own table: rows are samples, numeric columns are x, and one column may be the label."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.io.text_table import read_text
from ssvae_cli.datasets.measurements import Measured, as_words, listed, measured_data, places_of
from ssvae_cli.errors import UserError, agreeing, allowed, counted, require, require_extra
from ssvae_cli.files import reading_as
from ssvae_cli.paths import existing_file

if TYPE_CHECKING:
    from pandas import DataFrame, Series

TEXT = {".csv": ",", ".tsv": "\t"}  # each may be compressed, as .csv.gz
PARQUET = (".parquet", ".pq")
KINDS = (".npy", *TEXT, *PARQUET)
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")

Name = str | int


def table(
    *,
    path: str,
    test_path: str | None = None,
    label: Name | None = None,
    factors: list[Name] | None = None,
    columns: list[Name] | None = None,
    ignored: list[Name] | None = None,
    id: Name | None = None,
    missing: Literal["raise", "drop"] = "raise",
    log1p: bool = False,
    standardise: bool = True,
    validation: int | float | None = None,
    test: int | float | None = None,
    limit: int | None = None,
    fitted: dict[str, Any] | None = None,
) -> Data:
    """A .npy array [N, D], or a .csv, .tsv or .parquet file; x [N, D].

    test_path: a file of the same columns for test. label, factors, ignored, id: columns that are no part of x; columns:
    those that are, None: all other numeric ones. Rows are divided by a hash of their id, None: of their numbers.
    missing: what is done with rows that lack a number. fitted: of the data that were trained on. Raises UserError in
    one line that names the file and the column."""
    require_kind(path, "path")
    if test_path is not None:
        require_kind(test_path, "test_path")
    require(columns != [], "columns must be null, all numeric ones, or name some, got []")
    roles = {"label": [label], "factors": factors or [], "columns": columns or [], "ignored": ignored or [], "id": [id]}
    roles = {role: [str(name) for name in names if name is not None] for role, names in roles.items()}
    trained = (fitted or {}).get("columns")
    if trained is not None:
        roles["columns"] = trained
    files = {"": path} if test_path is None else {"_train": path, "_test": test_path}
    parts, notes = {}, []
    for part, file in files.items():
        frame, more = read_frame(file, "path" if part != "_test" else "test_path")
        if part == "_test":
            roles["columns"] = list(parts["_train"].columns)
        parts[part], left_out = measured_frame(frame, file, roles, missing)
        notes += [*more, *left_out]
    scaling = {"total": None, "log1p": log1p, "standardise": standardise}
    sizes = {"validation": validation, "test": test, "limit": limit}
    return measured_data(parts, scaling, fitted, **sizes, notes=notes)


def require_kind(path: str, setting: str) -> tuple[Path, str]:
    """The file at a path, and its kind by its suffix. Raises UserError for none, for a kind that is not read, and where
    the library that reads it is missing."""
    file = existing_file(path, setting)
    suffixes = [suffix.lower() for suffix in file.suffixes]
    kind = next((s for s in reversed(suffixes) if s not in COMPRESSED), "")
    require(kind in KINDS, f"{setting}={path}: not a kind of table; {allowed(kind, KINDS)}")
    require_extra("table", f"{setting}={path}", "pandas", *(["pyarrow"] if kind in PARQUET else []))
    return file, kind


def read_frame(path: str, setting: str) -> "tuple[DataFrame, list[str]]":
    """(The file, its columns named by words; notes). Raises UserError."""
    file, kind = require_kind(path, setting)
    import pandas

    with reading_as(kind, f"{setting}={path}"):
        if kind == ".npy":
            array = np.load(file, allow_pickle=False)
            fits = isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind in "fiub"
            shape = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "several arrays"
            require(
                fits, f"{setting}={path}: an array of numbers [N, D] is needed, got {shape}; dataset=npz has images"
            )
            native = array.astype(array.dtype.newbyteorder("="))  # pandas takes no other
            return pandas.DataFrame(native, columns=[str(i) for i in range(array.shape[1])]), []
        if kind in PARQUET:
            frame = pandas.read_parquet(file)
            return frame.set_axis(list(map(str, frame.columns)), axis=1), []
        try:
            return read_text(file, TEXT[kind])
        except UnicodeDecodeError as error:
            raise UserError(f"{setting}={path}: its text is not UTF-8; save it as UTF-8") from error


def measured_frame(
    frame: "DataFrame", place: str, roles: dict[str, list[str]], missing: str
) -> tuple[Measured, list[str]]:
    """(The measurements of a frame; notes). roles: columns by label, factors, columns (of x), ignored and id."""
    require(len(frame) > 0, f"{place}: no samples")
    names, notes = list(frame.columns), []
    doubles = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    require(not doubles, f"{place}: several columns of one name: {listed(doubles)}")
    for role, wanted in roles.items():
        places_of(wanted, names, f"{role}={wanted[0]}: {place}" if role in ("label", "id") and wanted else place)
    others = {name: role for role in ("label", "factors", "ignored", "id") for name in roles[role]}
    numeric = [name for name in names if frame[name].dtype.kind in "fiub"]
    chosen = roles["columns"] or [name for name in numeric if name not in others]
    for name in chosen:
        require(name not in others, f"{place}: column '{name}' is in columns and in {others.get(name)}; give one")
        require(
            name in numeric,
            f"{place}: column '{name}' is {frame[name].dtype}, and x takes numbers; label={name} makes it the label",
        )
    require(len(chosen) > 0, f"{place}: no numeric column is left for x; it has {listed(names)}")
    words = [name for name in names if name not in numeric and name not in others]
    if words and not roles["columns"]:
        notes.append(f"{place}: left out, as no numbers: {listed(words)}; dataset.label=COLUMN makes one the label")
    numbers = [*chosen, *(name for name in roles["factors"] if name in numeric)]
    absent = frame[numbers].isna()
    if missing == "drop" and (lacking := absent.any(axis=1)).any():
        out = int(lacking.sum())
        notes.append(
            f"{place}: {out} of {len(frame)} rows {agreeing(out, 'is', 'are')} left out, as a value is missing"
        )
        require(not lacking.all(), f"{place}: every row lacks a value; leave columns out by ignored=[...]")
        frame, absent = frame[~lacking], absent[~lacking]
    counts = absent.sum()
    counts = counts[counts > 0]
    which = ", ".join(f"{name} ({count})" for name, count in counts.head(10).items())
    require(counts.empty, f"{place}: missing values in {which}; give missing=drop to leave such rows out")
    labels = class_words(frame[roles["label"][0]], place) if roles["label"] else None
    if labels is not None and (none := int((labels == "").sum())):
        empty = "empty cells are, and in text NA, None, null and nan"
        counts = f"{none} of {len(frame)} rows {agreeing(none, 'has', 'have')}"
        notes.append(f"{place}: {counts} no label in {roles['label'][0]}; {empty}")
    ids = frame[roles["id"][0]] if roles["id"] else ()
    unknown = int(ids.isna().sum()) if roles["id"] else 0
    lacking = f"{counted(unknown, 'row')} {agreeing(unknown, 'has', 'have')} no value in id={''.join(roles['id'])}"
    require(unknown == 0, f"{place}: {lacking}; fill or remove {agreeing(unknown, 'it', 'them')}")
    measured = Measured(
        place,
        frame[chosen].to_numpy(np.float64),
        chosen,
        labels=labels,
        factors={name: factor_values(frame[name], place) for name in roles["factors"]},
        names=as_words(ids).tolist(),
    )
    return measured, notes


def factor_values(column: "Series", place: str) -> np.ndarray:
    """A column of factors: float64 [N], or words [N] for categories. Raises UserError where one is missing."""
    missing = int(column.isna().sum())
    require(missing == 0, f"{place}: factors: column '{column.name}' has {missing} missing values")
    return column.to_numpy(np.float64) if column.dtype.kind in "fiu" else as_words(column)


def class_words(column: "Series", place: str) -> np.ndarray:
    """A column of classes as words."""
    numbers = column.dropna()
    continuous = column.dtype.kind == "f" and bool((numbers % 1 != 0).any())
    example = next((float(value) for value in numbers if value % 1), 0.0) if continuous else 0.0
    fault = f"{place}: label={column.name} has numbers such as {example:g}, and a label is a class"
    require(not continuous, f"{fault}; factors=[{column.name}] takes numbers")
    return as_words(column)
