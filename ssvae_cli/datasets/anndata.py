"""Your own cells: gene expression from an AnnData file, .h5ad."""

import importlib
import itertools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import csr_matrix, issparse

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.measurements import Matrix, Measured, as_words, listed, measured_data, places_of
from ssvae_cli.datasets.table import class_words, factor_values
from ssvae_cli.errors import require, require_at_least, require_extra
from ssvae_cli.files import reading_as
from ssvae_cli.paths import existing_file

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import Series

MARKED = "highly_variable"  # the column of var in which scanpy marks genes
TRUE, FALSE = ("true", "1"), ("false", "0", "", "nan")  # of that column, as anndata's files hold it
COUNTS_PER_CELL = 10_000.0  # to which counts are normalised, as scanpy's and Seurat's tutorials do


def anndata(
    *,
    path: str,
    layer: str | None = None,
    label: str | None = None,
    factors: list[str] | None = None,
    total: float | Literal["auto"] | None = "auto",
    log1p: bool | Literal["auto"] = "auto",
    genes: int | Literal["marked"] | None = None,
    standardise: bool = True,
    validation: int | float | None = None,
    test: int | float | None = None,
    limit: int | None = None,
    fitted: dict[str, Any] | None = None,
) -> Data:
    """The matrix X [cells, genes] of an .h5ad file, or a layer, dense or sparse; x [N, D].

    layer: None for X, raw for raw.X. label, factors: columns of obs. total: the sum to which each cell is scaled, None:
    as it is; log1p: log(1 + x) is taken; auto: 10000 and true where all values are counts. genes: how many are kept, of
    the largest variance / mean in train, or those that var marks as highly_variable; None: all. Cells are divided by a
    hash of their names. fitted: of the data that were trained on. Raises UserError in one line that names the file and
    the column.
    """
    require(genes is None or isinstance(genes, str) or genes >= 1, f"genes must be at least 1, got {genes}")
    if isinstance(total, (int, float)):
        require_at_least(1, total=total)
    file = existing_file(path, "path")
    require_extra("anndata", f"path={path}", "anndata")
    cells = _read(file, path)
    x, var = _matrix(cells, layer, path)
    names, notes = var.index.astype(str), []
    if not names.is_unique:
        notes.append(f"{path}: several genes of one name, which are numbered: {listed(names[names.duplicated()])}")
        names = _numbered(names)
    trained = (fitted or {}).get("columns")
    if genes == "marked" and trained is None:
        require(MARKED in var, f"genes=marked: {path}: no column {MARKED} in var; it has {listed(var.columns)}")
        marked = _marks(var[MARKED], f"genes=marked: {path}: var.{MARKED}")
        notes.append(f"{path}: {int(marked.sum())} of {len(marked)} genes, those of var.{MARKED}")
    else:
        marked = np.ones(len(names), bool)
    counts = _counts(x)
    total = (COUNTS_PER_CELL if counts else None) if total == "auto" else total
    log1p = counts if log1p == "auto" else log1p
    if trained is None:
        changes = [] if total is None else [f"each cell is scaled to a sum of {total:g}"]
        changes += ["log(1 + x) is taken"] if log1p else []
        kind = f"{path}: {layer or 'X'} holds {'counts' if counts else 'other numbers than counts'}"
        changed = ", ".join(changes) or "they are taken as they are"
        notes.append(f"{kind}: {changed}; dataset.total and dataset.log1p choose otherwise")
    columns = list(cells.obs.columns)
    places_of([label] if label is not None else [], columns, f"label={label}: {path}", "column of obs")
    places_of(factors or [], columns, path, "column of obs")
    measured = Measured(
        path,
        x,
        list(names),
        labels=None if label is None else class_words(cells.obs[label], path),
        factors={name: factor_values(cells.obs[name], path) for name in factors or []},
        names=_numbered(cells.obs_names.astype(str)),
        usable=marked,
    )
    most_variable = genes if isinstance(genes, int) else None
    scaling = {"total": total, "log1p": log1p, "standardise": standardise, "most_variable": most_variable}
    sizes = {"validation": validation, "test": test, "limit": limit}
    return measured_data({"": measured}, scaling, fitted, **sizes, notes=notes)


def _read(file: Path, path: str) -> "AnnData":
    reader = importlib.import_module("anndata")
    with reading_as(".h5ad", f"path={path}"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about older formats, which are read as well
        return reader.read_h5ad(file)


def _matrix(cells: "AnnData", layer: str | None, path: str) -> "tuple[Matrix, Any]":
    """(X, a layer or raw.X as it is stored; the table of its genes)."""
    choices = [*cells.layers, *(["raw"] if cells.raw is not None else [])]
    if layer is not None:
        places_of([layer], choices, f"layer={layer}: {path}", "layer")
    if layer == "raw" and "raw" not in cells.layers:
        x, var = cells.raw.X, cells.raw.var
    else:
        x, var = cells.X if layer is None else cells.layers[layer], cells.var
    require(x is not None, f"{path}: it has no X; layer chooses another matrix: {listed(choices)}")
    require(x.dtype.kind in "fiub", f"{path}: X must be numbers, got {x.dtype}")
    return csr_matrix(x) if issparse(x) else np.asarray(x), var


def _marks(column: "Series", here: str) -> np.ndarray:
    """Which genes a column of var marks, bool [D]; one without a value is not. Raises UserError for none at all, and
    for a column of other values than true and false."""
    words = np.char.lower(as_words(column))
    others = sorted({*words.tolist()} - {*TRUE, *FALSE})
    require(not others, f"{here} must be true or false, got {listed(others)}")
    marked = np.isin(words, TRUE)
    require(marked.any(), f"{here} marks no gene")
    return marked


def _counts(x: Matrix) -> bool:
    """Whether all values are whole numbers of at least 0."""
    values = x.data if issparse(x) else x
    return bool(np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all())


def _numbered(names: Any) -> list[str]:
    """Distinct names: the second a is a-1."""
    distinct = {}
    for name in names:
        options = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(1)))
        distinct[next(option for option in options if option not in distinct)] = None
    return list(distinct)
