"""What an array must be to be read as images or as vectors."""

import numpy as np

from ssvae_cli.datasets.io.rows import Rows, chunks
from ssvae_cli.errors import require


def images_or_vectors(here: str, x: np.ndarray) -> Rows:
    """uint8 [N, C, H, W] or float32 [N, D]."""
    return vectors(here, x) if x.ndim == 2 else images(here, x)


def images(here: str, x: np.ndarray) -> Rows:
    """uint8 [N, C, H, W]."""
    shape = list(x.shape)
    if x.ndim == 3:
        x = x[:, None]
    require(x.ndim == 4, f"{here} must be images [N, C, H, W] or [N, H, W], or vectors [N, D], got {shape}")
    return pixels(here, x)


def pixels(here: str, x: np.ndarray) -> Rows:
    """uint8 [N, ..., C, H, W]."""
    channels, last = x.shape[-3], x.shape[-1]
    require(
        channels in (1, 3) or last not in (1, 3),
        f"{here} has channels last, {list(x.shape)}; give it transposed by {_channels_first(x.ndim)}",
    )
    require(x.size > 0, f"{here} is empty, {list(x.shape)}")
    if x.dtype == np.uint8:
        return Rows([x], np.uint8)
    _finite(here, x, "uint8, or floats in [0, 1]")
    low, high = min(float(part.min()) for part in chunks(x)), max(float(part.max()) for part in chunks(x))
    require(
        0 <= low and high <= 1, f"{here}: floats must lie in [0, 1], got {low:g} to {high:g}; uint8 is for 0 to 255"
    )
    return Rows([x], np.uint8, to_bytes)


def vectors(here: str, x: np.ndarray) -> Rows:
    """float32, in the shape it has."""
    require(x.size > 0, f"{here} is empty, {list(x.shape)}")
    _finite(here, x, "floats")
    return Rows([x], np.float32)


def to_bytes(x: np.ndarray) -> np.ndarray:
    """[0, 1] -> 0 to 255."""
    return np.rint(x * 255)


def _channels_first(ndim: int) -> tuple[int, ...]:
    """The axes of [N, ..., H, W, C] in the order N, ..., C, H, W."""
    return (*range(ndim - 3), ndim - 1, ndim - 3, ndim - 2)


def _finite(here: str, x: np.ndarray, allowed: str) -> None:
    require(x.dtype.kind == "f", f"{here} must be {allowed}, got {x.dtype}")
    bad = sum(int((~np.isfinite(part)).sum()) for part in chunks(x))
    require(bad == 0, f"{here} has {bad} values that are NaN or infinite")
