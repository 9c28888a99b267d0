"""Named measurements, such as a table's columns or genes: split, and scaled by what is fitted to train alone."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, issparse

from ssvae_cli.datasets.base import UNLABELLED, Data, Factor, Split
from ssvae_cli.datasets.io.arrays import numbered, require_range, warn_of_rounding
from ssvae_cli.datasets.npz import split_up
from ssvae_cli.datasets.splitting import Share
from ssvae_cli.device import array_type, floats
from ssvae_cli.errors import nearest, require

SHOWN = 10  # names in a line, at most
SMALLEST_STD = 1e-12  # times the mean: below, a column is constant up to rounding

Matrix = np.ndarray | csr_matrix  # [N, D]


@dataclass(frozen=True)
class Measured:
    """N samples of D measurements, as a file holds them."""

    place: str  # the file, for error lines
    x: Matrix  # [N, D]
    columns: Sequence[str]  # D distinct names
    labels: np.ndarray | None = None  # words [N], "" for none
    factors: dict[str, np.ndarray] = field(default_factory=dict)  # by name: numbers [N], or words [N] for categories
    names: Sequence[str] = ()  # of the samples, by which they are split; (): by their measurements
    usable: np.ndarray | None = None  # bool [D]: the columns that may be in x, None: all; sums are over all
    classes: Sequence[str] = ()  # the order of the labels, where the file has one


@dataclass(frozen=True)
class Scaling:
    """x from measurements m [N, D]: (f(m) - mean) / scale of `columns`, f = log(1 + s m) or s m, s = total / sum(m)."""

    columns: list[str]
    total: float | None  # None: s = 1
    log1p: bool
    mean: list[float]
    scale: list[float]

    def __call__(self, measured: Measured, rows: np.ndarray) -> torch.Tensor:
        """[rows, columns]. Raises UserError for a missing column, for values below 0 of which a sum or a logarithm is
        taken, and for what the run's floats cannot hold."""
        m = measured.x[rows]
        change = "log1p" if self.log1p else None if self.total is None else "total"
        lowest = m.min() if change and min(m.shape) > 0 else 0
        require(lowest >= 0, f"{measured.place}: {change} is for values of at least 0, got {lowest:g}")
        dense = _dense(self.normalised(m)[:, places_of(self.columns, measured.columns, measured.place)])
        x = (dense - np.array(self.mean)) / np.array(self.scale)
        require_range(f"{measured.place}: scaled x", x)
        warn_of_rounding(f"{measured.place}: x", x)
        return torch.from_numpy(x.astype(array_type()))

    def normalised(self, m: Matrix) -> Matrix:
        """f(m), sparse if m is; a sample whose sum is 0 stays unchanged."""
        m = m.astype(np.float64)
        if self.total is not None:
            sums = np.asarray(m.sum(1)).reshape(-1, 1)
            factor = np.divide(self.total, sums, out=np.ones_like(sums), where=sums > 0)
            m = m.multiply(factor).tocsr() if issparse(m) else m * factor
        return m if not self.log1p else m.log1p() if issparse(m) else np.log1p(m)

    def zero(self) -> torch.Tensor:
        """What a measurement of 0 is in x, [D]."""
        return torch.tensor(-np.array(self.mean) / np.array(self.scale), dtype=torch.get_default_dtype())


def fitted_scaling(
    measured: Measured,
    rows: np.ndarray,
    *,
    total: float | None,
    log1p: bool,
    standardise: bool,
    most_variable: int | None = None,
) -> tuple[Scaling, list[str]]:
    """(The scaling fitted to those rows; notes.) Columns that are constant in those rows are left out.

    most_variable: the columns kept, those of the largest variance / mean. Raises UserError where nothing varies."""
    m, notes = measured.x[rows], []
    low, high = (_dense(side).ravel() for side in (m.min(0), m.max(0)))
    usable = np.ones(len(low), bool) if measured.usable is None else measured.usable
    varies = low != high
    constant = [name for name, left_out in zip(measured.columns, usable & ~varies) if left_out]
    require(len(constant) < usable.sum(), f"{measured.place}: every column is constant in train: {listed(constant)}")
    if constant:
        notes.append(f"{measured.place}: left out, as constant in train: {listed(constant)}")
    lowest = low.min().item()
    change = "log1p" if log1p else "total" if total is not None else f"genes={most_variable}"
    needed = log1p or total is not None or most_variable is not None
    require(not needed or lowest >= 0, f"{measured.place}: {change} is for values of at least 0, got {lowest:g}")
    plain = Scaling(list(measured.columns), total, log1p, [], [])
    kept = (usable & varies).nonzero()[0]
    if most_variable is not None and most_variable < len(kept):
        mean, variance = _moments(replace(plain, log1p=False).normalised(m)[:, kept])
        kept = np.sort(kept[np.argsort(-variance / mean, kind="stable")[:most_variable]])
        notes.append(f"{measured.place}: {len(kept)} of {sum(usable)} columns, those of the largest variance / mean")
    mean, scale = np.zeros(len(kept)), np.ones(len(kept))
    if standardise:
        mean, variance = _moments(plain.normalised(m)[:, kept])
        std = np.sqrt(variance)
        scale = np.where(std > SMALLEST_STD * np.abs(mean), std, 1)
    columns = [measured.columns[i] for i in kept]
    return replace(plain, columns=columns, mean=mean.tolist(), scale=scale.tolist()), notes


def measured_data(
    parts: dict[str, Measured],
    scaling: dict[str, Any],
    fitted: dict[str, Any] | None,
    *,
    validation: Share,
    test: Share,
    limit: int | None,
    notes: Sequence[str],
) -> Data:
    """The splits of one part "", or of _train and _test, each perhaps with _validation; scaled as train is.

    scaling: the arguments of `fitted_scaling`. fitted: of the data that were trained on; its columns, scaling and
    classes are then used instead. Samples are divided by a hash of their names, or of their measurements."""
    fitted = fitted or {}
    for part in parts.values():
        values = part.x.data if issparse(part.x) else part.x
        require(part.x.shape[0] > 0, f"{part.place}: no samples")
        require(part.x.shape[1] > 0, f"{part.place}: no measurements")
        _require_finite(part)
        if values.size:  # of a sparse matrix without an entry, none
            require_range(f"{part.place}: x", values)
    labels, classes = labels_of(parts, fitted.get("classes", ()))
    factors, columns = factors_of(parts)
    splits, start = {}, 0
    for name, part in parts.items():
        rows = torch.arange(part.x.shape[0])
        splits[name] = Split(rows, labels[name], factors=factors.get(name), row=rows + start)
        start += len(rows)
    named = all(part.names for part in parts.values())
    names = [name for part in parts.values() for name in (part.names if named else _digests(part.x))]
    first, different = next(iter(parts)), len(set(names))
    needed = "at least 3 different rows are needed, one for train, validation and test"
    require(different >= 3, f"{parts[first].place}: {needed}, got {different}")
    divided = split_up(parts[first].place, splits, validation=validation, test=test, limit=limit, names=names)
    chosen = dict(zip(("train", "validation", "test"), divided))
    if "columns" in fitted:
        scaling_of_train = Scaling(**{key: fitted[key] for key in Scaling.__dataclass_fields__})
    else:
        scaling_of_train, more = fitted_scaling(parts[first], chosen["train"].x.numpy(), **scaling)
        notes = [*notes, *more]
    for name, split in chosen.items():
        part = parts.get(f"_{name}", parts[first])
        x = scaling_of_train(part, split.x.numpy())
        chosen[name] = replace(split, x=x, row=split.row if named else split.x, of=None)
    return Data(
        **chosen,
        classes=classes,
        factors=columns,
        zero=scaling_of_train.zero(),
        names=names if named else (),
        fitted={**asdict(scaling_of_train), "classes": list(classes)},
        notes=tuple(notes),
    )


def places_of(wanted: Sequence[str], columns: Sequence[str], place: str, what: str = "column") -> list[int]:
    """Where the wanted names stand among the columns. Raises UserError for one that is not there."""
    where = {name: i for i, name in enumerate(columns)}
    for name in wanted:
        close = nearest(name, columns)
        meant = f"did you mean '{close}'?" if close else f"it has {listed(columns)}"
        require(name in where, f"{place}: no {what} '{name}'; {meant}")
    return [where[name] for name in wanted]


def listed(names: Sequence[str]) -> str:
    """The first of the names, and how many there are where these are not all."""
    shown = ", ".join(map(str, names[:SHOWN]))
    return f"{shown}, ... ({len(names)})" if len(names) > SHOWN else shown or "none"


def as_words(values: Sequence[Any]) -> np.ndarray:
    """Categories as words [N]: whole numbers without a point, "" for a missing one (None, NaN, NA)."""

    def word(value: Any) -> str:
        if value is None or str(value) == "<NA>" or value != value:
            return ""
        return str(int(value)) if isinstance(value, (float, np.floating)) and float(value).is_integer() else str(value)

    return np.array([word(value) for value in values], np.str_)


def labels_of(parts: dict[str, Measured], known: Sequence[str]) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """(int64 [N] for every part, -1 for none; the classes.) known: those of train, before which none comes."""
    present = {str(word) for part in parts.values() if part.labels is not None for word in part.labels} - {""}
    order = [*known, *(word for part in parts.values() for word in part.classes)]
    order += sorted(present - set(order), key=by_number)
    code = {word: i for i, word in enumerate(dict.fromkeys(order))} | {"": UNLABELLED}
    codes = {
        name: torch.full((part.x.shape[0],), UNLABELLED)
        if part.labels is None
        else torch.tensor([code[str(word)] for word in part.labels])
        for name, part in parts.items()
    }
    return codes, tuple(word for word in code if word) if present else tuple(known)


def by_number(word: str) -> tuple[float, str]:
    """Sorts 2 before 10, and words, `nan` among them, after numbers."""
    try:
        value = float(word)
    except ValueError:
        value = math.inf
    return math.inf if math.isnan(value) else value, word


def factors_of(parts: dict[str, Measured]) -> tuple[dict[str, torch.Tensor], tuple[Factor, ...]]:
    """([N, F] for every part, or none; the columns)."""
    columns, tensors = [], []
    for name in next(iter(parts.values())).factors:
        values = {part: measured.factors[name] for part, measured in parts.items()}
        if any(v.dtype.kind == "U" for v in values.values()):
            codes, words = numbered({part: v.astype(np.str_) for part, v in values.items()})
            columns.append(Factor(name, len(words)))
            tensors.append({part: floats(c) for part, c in codes.items()})
        else:
            for part, v in values.items():
                require_range(f"{parts[part].place}: factor {name}", v)
                warn_of_rounding(f"{parts[part].place}: factor {name}", v[:, None])
            columns.append(Factor(name))
            tensors.append({part: torch.from_numpy(v.astype(array_type())) for part, v in values.items()})
    if not columns:
        return {}, ()
    return {part: torch.stack([tensor[part] for tensor in tensors], 1) for part in parts}, tuple(columns)


def _require_finite(part: Measured) -> None:
    """Raise UserError naming the columns that hold NaN or infinity, each with how many."""
    m = part.x
    columns = m.indices[~np.isfinite(m.data)] if issparse(m) else (~np.isfinite(m)).nonzero()[1]
    found = zip(*np.unique(columns, return_counts=True))
    which = [f"{part.columns[column]} ({count})" for column, count in found]
    require(not which, f"{part.place}: values that are NaN or infinite in {listed(which)}; leave rows or columns out")


def _digests(x: Matrix) -> list[str]:
    """A name for each row that depends on its measurements alone, so that equal rows are never divided."""
    rows = (_dense(x[i]) for i in range(x.shape[0])) if issparse(x) else x
    return [hashlib.blake2b(np.asarray(row, np.float64).tobytes(), digest_size=12).hexdigest() for row in rows]


def _moments(m: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """(mean, variance) of every column, [D]."""
    if not issparse(m):
        return m.mean(0), m.var(0)
    mean = np.asarray(m.mean(0)).ravel()
    return mean, np.maximum(np.asarray(m.multiply(m).mean(0)).ravel() - mean**2, 0)


def _dense(m: Any) -> np.ndarray:
    return m.toarray() if issparse(m) else np.asarray(m)
