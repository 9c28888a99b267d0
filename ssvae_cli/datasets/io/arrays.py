"""Arrays as images or as vectors, with a check that they can be read as such."""

import numpy as np

from ssvae_cli.datasets.io.rows import Rows, chunks
from ssvae_cli.errors import require


def images_or_vectors(here: str, x: np.ndarray) -> Rows:
    """uint8 [N, C, H, W] or float32 [N, D]."""
    if x.ndim == 2:
        return vectors(here, x)
    images = x[:, None] if x.ndim == 3 else x
    require(
        images.ndim == 4, f"{here} must be images [N, C, H, W] or [N, H, W], or vectors [N, D], got {list(x.shape)}"
    )
    return pixels(here, images)


def pixels(here: str, x: np.ndarray) -> Rows:
    """uint8 [N, ..., C, H, W]."""
    shape, channels_first = list(x.shape), (*range(x.ndim - 3), x.ndim - 1, x.ndim - 3, x.ndim - 2)
    fits = x.shape[-3] in (1, 3) or x.shape[-1] not in (1, 3)
    require(fits, f"{here} has channels last, {shape}; give it transposed by {channels_first}")
    require(x.size > 0, f"{here} is empty, {shape}")
    if x.dtype == np.uint8:
        return Rows([x], np.uint8)
    _require_finite(here, x, "uint8, or floats in [0, 1]")
    low, high = min(float(part.min()) for part in chunks(x)), max(float(part.max()) for part in chunks(x))
    valid = 0 <= low and high <= 1
    require(valid, f"{here}: floats must lie in [0, 1], got {low:g} to {high:g}; uint8 is for 0 to 255")
    return Rows([x], np.uint8, lambda values: np.rint(values * 255))


def vectors(here: str, x: np.ndarray) -> Rows:
    """float32, in the array's own shape."""
    require(x.size > 0, f"{here} is empty, {list(x.shape)}")
    _require_finite(here, x, "floats")
    return Rows([x], np.float32)


def _require_finite(here: str, x: np.ndarray, allowed: str) -> None:
    require(x.dtype.kind == "f", f"{here} must be {allowed}, got {x.dtype}")
    bad = sum(int((~np.isfinite(part)).sum()) for part in chunks(x))
    require(bad == 0, f"{here} has {bad} values that are NaN or infinite")
