"""What shows that data are those of another time: sizes, names, and means of a few values."""

import hashlib
import json
from typing import Any

import torch

from ssvae_cli.datasets.base import Data, Split, evenly_spaced

SAMPLES, PLACES = 8, 16  # evenly spaced, of which means are kept
SHARE, OF_LARGEST = 0.01, 0.001  # of a mean, and of the largest: what another processor or decoder may round


def fingerprint(data: Data) -> dict[str, Any]:
    """Of plain numbers and words: `sizes`, a hash of the `names`, and `means`, each over several samples if a split has
    them."""
    names = hashlib.sha256(json.dumps(data.listing()).encode()).hexdigest()
    sizes = {name: len(split) for name, split in data.splits.items()}
    return {"sizes": sizes, "names": names, "means": {name: means(split) for name, split in data.splits.items()}}


def means(split: Split) -> dict[str, list[float]]:
    """Means over a few samples of a split: of x and x' at a few places, and of the labels, each times its number."""
    rows = evenly_spaced(len(split), SAMPLES)
    batch = next(iter(split.rows(rows).batches(len(rows))))
    of_y = {"y": [(batch.y.cpu().double() * torch.arange(1, len(rows) + 1)).mean().item()]}
    sides = {name: side.flatten(1) for name, side in (("x", batch.x), ("x'", batch.x_prime)) if side is not None}
    places = {name: evenly_spaced(side.shape[1], PLACES, side.device) for name, side in sides.items()}
    return of_y | {name: side[:, places[name]].double().mean(0).tolist() for name, side in sides.items()}


def difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """How data differ from those of another time, by their fingerprints; None where they do not."""
    if before["sizes"] != now["sizes"]:
        sizes = {name: (size, now["sizes"][name]) for name, size in before["sizes"].items()}
        return ", ".join(f"{name} had {was}, now {size}" for name, (was, size) in sizes.items() if was != size)
    if before["names"] != now["names"]:
        return "as many, of other names or in other splits"
    other = [name for name, parts in before["means"].items() if not same(parts, now["means"][name])]
    return f"as many, with other values in {', '.join(other)}" if other else None


def same(before: dict[str, list[float]], now: dict[str, list[float]]) -> bool:
    """Whether means are those of the same values, but for rounding, and of the same labels."""
    if {name: len(values) for name, values in before.items()} != {name: len(values) for name, values in now.items()}:
        return False
    for name, values in before.items():
        room = {"rtol": 0, "atol": 0} if name == "y" else {"rtol": SHARE, "atol": OF_LARGEST * max(map(abs, values))}
        if not torch.allclose(torch.tensor(now[name]), torch.tensor(values), **room):
            return False
    return True
