"""Your own sequences, from one .npz file."""

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.io.arrays import pixels, vectors
from ssvae_cli.datasets.io.rows import Rows
from ssvae_cli.datasets.io.series import PIECES, padded
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.npz import read_npz
from ssvae_cli.datasets.suits import of_sequences as suits  # noqa: F401, for the command line
from ssvae_cli.errors import counted, require
from ssvae_cli.paths import existing_file


def sequences(
    *,
    path: str,
    validation: int | float | None,
    test: int | float | None,
    limit: int | None = None,
    missing: Literal["refuse", "mask"] = "refuse",
    memory_gb: float = 4.0,
    workers: int | None = None,
) -> Data:
    """Arrays x_train, x_test and perhaps x_validation, or one x that is split here, as `npz` splits it.

    Series are floats, [N, T, D] or [N, T]; videos are uint8, or floats in [0, 1], which become 8 bits: [N, T, C, H, W].
    Series of unequal length are padded, and a `length_train`, ... or `length`, integers [N], says where each ends, or
    nothing but NaN follows; or x is [sum of lengths, D], one series after the other. missing: numbers missing inside a
    series are refused, or masked: filled by the last before, with columns that say what was measured.
    Labels y, factors, memory_gb and workers as for `npz`; factors may also be [N, T, F], one row per step.
    """
    existing_file(path, "path")
    prepare = partial(padded, mask=missing == "mask")
    sizes = {"validation": validation, "test": test, "limit": limit}
    data = read_npz(path, {"x": steps}, Storage(memory_gb, workers), prepare=prepare, **sizes)
    factors = data.train.factors
    if factors is not None and factors.ndim == 3:
        length, known = data.shape[0], factors.shape[1]
        require(length == known, f"{path}: factors have {counted(known, 'step')}, but x has {length}")
    lengths = [split.length for split in data.splits.values() if split.length is not None]
    if not lengths:
        return data
    least, most = min(int(n.min()) for n in lengths), max(int(n.max()) for n in lengths)
    return replace(data, notes=(*data.notes, f"series of {least} to {most} steps: what follows is padding"))


def steps(here: str, x: np.ndarray) -> Rows:
    """Floats [N, T, D], or uint8 [N, T, C, H, W]."""
    wanted = f"[N, T, D], [N, T], or videos [N, T, C, H, W], got {list(x.shape)}"
    require(x.ndim in (2, 3, 5), f"{here} must be {wanted}" + (f"; {PIECES}" if x.ndim == 1 else ""))
    require(x.shape[1] >= 2, f"{here} must have at least 2 steps, got {x.shape[1]}")
    return pixels(here, x) if x.ndim == 5 else vectors(here, x[..., None] if x.ndim == 2 else x)
