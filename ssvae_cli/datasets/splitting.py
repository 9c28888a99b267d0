"""Splits by a fixed hash of the samples' names: a sample keeps its side when others are added or taken away."""

import hashlib
import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

from ssvae_cli.datasets.base import draw
from ssvae_cli.errors import require

TENTH = 0.1
Share = int | float | None  # a number of samples, a share of them between 0 and 1, or None: a tenth


def by_hash(names: Sequence[str], share: Share, setting: str) -> tuple[Tensor, Tensor]:
    """(the rows that are left, the rows held out), each in order, by a hash of the names; equal names stay together.

    share: a share is held out whatever the number of samples, so that none changes sides; a number: those of the lowest
    hash. At least one is held out. setting: the key that gave the share; each has its own hash. Raises UserError.
    """
    _require(len(names), share, setting)
    place = torch.tensor([_place(f"{setting}:{name}") for name in names], dtype=torch.float64)
    lowest = place.unique()
    most = place.sort().values[share - 1] if isinstance(share, int) else TENTH if share is None else share
    bound = max(most, lowest[0])  # one is held out,
    if len(lowest) > 1:
        bound = min(bound, lowest[-2])  # and one is left
    held = place <= bound
    return (~held).nonzero().flatten(), held.nonzero().flatten()


def by_draw(total: int, share: Share, setting: str) -> tuple[Tensor, Tensor]:
    """As `by_hash`, of samples without names: drawn, in the same way for the same number of samples."""
    _require(total, share, setting)
    count = share if isinstance(share, int) else max(1, int(total * (TENTH if share is None else share)))
    return draw(total, count)[::-1]


def _require(total: int, share: Share, setting: str) -> None:
    require(total >= 2, f"{setting}: at least 2 samples are needed to hold one out, got {total}")
    valid = share is None or (1 <= share < total if isinstance(share, int) else 0 < share < 1)
    what = f"must lie between 1 and {total - 1} of {total} training samples, or be a share between 0 and 1"
    require(valid, f"{setting} {what}, got {share}")


def _place(name: str) -> float:
    """A number in [0, 1) that depends on the name alone, however a file system spells its accents."""
    spelt = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(spelt).digest()[:6], "big") / 2**48
