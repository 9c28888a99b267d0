"""Arrays as images or as vectors, with a check that they can be read as such."""

import logging

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.base import UNLABELLED
from ssvae_cli.datasets.io.rows import Rows, chunks
from ssvae_cli.device import array_type
from ssvae_cli.errors import require

log = logging.getLogger(__name__)

COARSE = 256  # values between the smallest and the largest of a column that floats tell apart; of fewer it is said
ROUNDING = 1e-12  # of the largest value of a column: what is nearer to each other is the same, but for rounding


def images_or_vectors(here: str, x: np.ndarray) -> Rows:
    """uint8 [N, C, H, W], or floats [N, D]."""
    if x.ndim == 2:
        return vectors(here, x)
    images = x[:, None] if x.ndim == 3 else x
    require(
        images.ndim == 4, f"{here} must be images [N, C, H, W] or [N, H, W], or vectors [N, D], got {list(x.shape)}"
    )
    return pixels(here, images)


def pixels(here: str, x: np.ndarray) -> Rows:
    """uint8 [N, ..., C, H, W]."""
    require_channels_first(here, x)
    require(x.size > 0, f"{here} is empty, {list(x.shape)}")
    binary = "integers are of 0 to 255, and the largest is 1, nearly black; give true and false, or 255 times as much"
    require(not _has_only_zeros_and_ones(x), f"{here}: {binary}")
    if x.dtype == np.uint8:
        return Rows([x], np.uint8)
    if x.dtype == bool:
        return Rows([x], np.uint8, lambda values: values * np.uint8(255))
    require(x.dtype.kind in "fiu", f"{here} must be integers of 0 to 255, or floats in [0, 1], got {x.dtype}")
    low, high = _range(here, x)
    if x.dtype.kind in "iu":
        require(0 <= low and high <= 255, f"{here}: integers must lie in 0 to 255, got {low} to {high}")
        return Rows([x], np.uint8)
    valid = 0 <= low and high <= 1
    series = "; series, [N, T, D], are read by dataset=sequences" if x.ndim == 4 and x.shape[1] == 1 else ""
    require(valid, f"{here}: floats must lie in [0, 1], got {low:g} to {high:g}; uint8 is for 0 to 255{series}")
    return Rows([x], np.uint8, lambda values: np.rint(values * 255))


def require_channels_first(here: str, x: np.ndarray) -> None:
    """Raise UserError for images, [N, ..., H, W, C], whose last axis alone looks like channels: 1 or 3, or 2 or 4, as
    of RGBA, behind two equal sides."""
    shape, channels_first = list(x.shape), (*range(x.ndim - 3), x.ndim - 1, x.ndim - 3, x.ndim - 2)
    first, second, last = shape[-3:]
    fits = first in (1, 3) or last not in ((1, 2, 3, 4) if first == second > 4 else (1, 3))
    require(fits, f"{here} has channels last, {shape}; give it transposed by {channels_first}")


def _has_only_zeros_and_ones(x: np.ndarray) -> bool:
    """Whether x are integers of which the largest is 1; reads no further than to the first that is larger."""
    largest = 0
    for part in chunks(x) if x.dtype.kind in "iu" else ():
        largest = max(largest, part.max())
        if largest > 1:
            return False
    return largest == 1


def vectors(here: str, x: np.ndarray) -> Rows:
    """The run's floats, in the array's own shape."""
    require(x.size > 0, f"{here} is empty, {list(x.shape)}")
    require(x.dtype.kind in "fiub", f"{here} must be numbers, got {x.dtype}")
    require_range(here, x)
    return Rows([x], array_type())


def require_range(here: str, x: np.ndarray) -> None:
    """Raise UserError for NaN, infinity and what the run's floats cannot hold."""
    low, high = _range(here, x)
    beyond, floats = max(-low, high), np.finfo(array_type())
    largest = float(floats.max)
    held = f"{floats.dtype}, of which the largest is {largest:.3g}"
    require(beyond <= largest, f"{here} has values beyond {held}, got {beyond:.3g}; rescale them")


def warn_of_rounding(here: str, x: np.ndarray) -> None:
    """Say so where the run's floats tell few values of a column, [N, D] or [N, T, D], apart, and not all, as of times
    in seconds since 1970."""
    if np.can_cast(x.dtype, kind := array_type()):
        return
    parts = [part.reshape(-1, x.shape[-1]) for part in chunks(x)]
    low, high = (np.array([end(part, 0) for part in parts]) for end in (np.min, np.max))
    low, high = low.min(0).astype(np.float64), high.max(0).astype(np.float64)
    largest, width = np.maximum(-low, high), high - low
    step = np.spacing(largest.astype(kind)).astype(np.float64)
    for column in np.flatnonzero((width < COARSE * step) & (width > ROUNDING * largest)):
        values = np.concatenate([np.unique(part[:, column]) for part in parts])
        have, kept = (len(np.unique(of)) for of in (values, values.astype(kind)))
        if kept < have:
            said = f"column {column} has {have} values from {low[column]:.10g} to {high[column]:.10g}"
            remedy = "subtract its mean, or give trainer.precision=float64"
            log.warning(f"{here}: {said}, of which {kind} can represent {kept}; {remedy}")


def numbered(values: dict[str, np.ndarray]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Categories in every part -> (int64, 0 for the first in order and so on, -1 for none; the categories as words).

    None is the integer -1 and the empty word."""
    values = {part: v.astype(np.str_) if v.dtype.kind in "SU" else v for part, v in values.items()}
    known = np.unique(np.concatenate([v.ravel() for v in values.values()]))
    none = "" if known.dtype.kind == "U" else UNLABELLED
    known = known[known != none]
    codes = {part: np.where(v == none, UNLABELLED, np.searchsorted(known, v)) for part, v in values.items()}
    return {part: torch.from_numpy(c.astype(np.int64)) for part, c in codes.items()}, tuple(map(str, known))


def _range(here: str, x: np.ndarray) -> tuple[float, float]:
    """(smallest, largest). Raises UserError where one is NaN or infinite."""
    bad = np.concatenate([~np.isfinite(part).reshape(len(part), -1).all(1) for part in chunks(x)])
    where = f"{bad.sum()} of {len(x)} rows, the first in row {bad.argmax()}"
    require(not bad.any(), f"{here} has values that are NaN or infinite in {where}")
    parts = [(part.min().item(), part.max().item()) for part in chunks(x)]
    return min(low for low, _ in parts), max(high for _, high in parts)
