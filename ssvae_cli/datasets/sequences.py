"""Your own sequences, from one .npz file."""

import numpy as np

from ssvae_cli.datasets.base import Data
from ssvae_cli.datasets.io.arrays import pixels, vectors
from ssvae_cli.datasets.io.rows import Rows
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.npz import read_npz
from ssvae_cli.errors import require


def sequences(
    *,
    path: str,
    validation: int | None,
    test: int | None,
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
) -> Data:
    """Arrays x_train, x_test and perhaps x_validation, or one x that is split here, as `npz` splits it.

    Series are floats, [N, T, D] or [N, T]; videos are uint8, or floats in [0, 1], which become 8 bits: [N, T, C, H, W].
    Labels y, factors, memory_gb and workers as for `npz`; factors may also be [N, T, F], a row a step.
    """
    storage = Storage(memory_gb, workers)
    data = read_npz(path, {"x": steps}, validation=validation, test=test, limit=limit, storage=storage)
    factors = data.train.factors
    if factors is not None and factors.ndim == 3:
        long, known = data.shape[0], factors.shape[1]
        require(long == known, f"{path}: factors have {known} steps, but x has {long}")
    return data


def steps(here: str, x: np.ndarray) -> Rows:
    """float32 [N, T, D] or uint8 [N, T, C, H, W]."""
    require(
        x.ndim in (2, 3, 5),
        f"{here} must be [N, T, D], [N, T], or videos [N, T, C, H, W], got {list(x.shape)}",
    )
    require(x.size > 0, f"{here} is empty, {list(x.shape)}")
    require(x.shape[1] >= 2, f"{here} must have at least 2 steps, got {x.shape[1]}")
    if x.ndim == 5:
        return pixels(here, x)
    return vectors(here, x[..., None] if x.ndim == 2 else x)
