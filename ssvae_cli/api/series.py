"""Series of unequal length, as Python code has them: a list of arrays, or NaN after the last step of each."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.api.arrays import as_array
from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.datasets.io.series import lengths_of
from ssvae_cli.errors import require


def stacked(x: Any, name: str, steps: int) -> Any:
    """A list of series, [T, D] or [T] each, as one array, [N, T, D] or [N, T], of at least so many steps: NaN follows
    where a series ends. So is a column of them, or a nested tensor. Anything else as it is. Raises UserError for series
    of different columns."""
    if isinstance(x, Tensor):
        x = x.unbind() if x.is_nested else x
    elif getattr(x, "dtype", None) == np.dtype(object) and x.ndim == 1:  # numpy's, and a column of a DataFrame
        x = list(x)
    if not isinstance(x, (list, tuple)) or not x or np.isscalar(x[0]):
        return x
    series = [as_array(one, f"{name}[{i}]") for i, one in enumerate(x)]
    if series[0].ndim > 2:  # videos, all of one length
        return x
    for i, one in enumerate(series):
        fits = one.ndim in (1, 2) and one.shape[1:] == series[0].shape[1:]
        differ = f"{name}[{i}] is {list(one.shape)}, and {name}[0] is {list(series[0].shape)}"
        last = one.ndim == 2 and len(one) == len(series[0])
        hint = "; steps come first: give each series transposed" if last else ""
        require(fits, f"{differ}: each series is [T, D], or each [T], with the same D columns{hint}")
        require(one.size > 0, f"{name}[{i}] is empty, {list(one.shape)}")
    longest = max(steps, *map(len, series))
    if all(len(one) == longest for one in series):
        return np.stack(series)
    padded = np.full((len(series), longest, *series[0].shape[1:]), np.nan, np.result_type(np.float32, *series))
    for row, one in zip(padded, series):
        row[: len(one)] = one
    return padded


def ended(x: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
    """(Series, [N, T, D], with zeros for the NaN after the last step of each; their lengths, int64 [N], None where all
    have T steps). Raises UserError for a series of NaN alone."""
    length = torch.from_numpy(lengths_of(np.isnan(x.cpu().numpy()))).to(x.device)
    require(bool((length > 0).all()), f"{name}: row {int(length.argmin())} has no step: all are NaN")
    if (length == x.shape[1]).all():
        return x, None
    after = torch.arange(x.shape[1], device=x.device) >= length[:, None]
    return x.masked_fill(after[..., None], 0), length


def by_steps(samples: Split, least: int) -> Iterator[tuple[Tensor, Split]]:
    """(rows, those series at their own number of steps, but at least so many): what is read of a series then depends on
    no other with it, however long."""
    steps = samples.lengths.clamp_min(least)
    for count in steps.unique().tolist():
        rows = (steps == count).nonzero()[:, 0]
        part = samples.rows(rows)
        known = part.x[:, :count]
        x = known.new_zeros(len(rows), count, *known.shape[2:])
        x[:, : known.shape[1]] = known
        yield rows, replace(part, x=x, length=part.lengths)


def shortest(samples: Split) -> Data:
    """The series as far as the shortest of them goes: what can be computed of these can be of all."""
    one = Split(samples.x[:, : int(samples.lengths.min())], samples.y)
    return Data(one, one, one)
