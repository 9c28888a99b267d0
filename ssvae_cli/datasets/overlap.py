"""Samples that lie on both sides of a split: what a probe or a critic was fitted to is then read as if it were new."""

from collections.abc import Mapping
from hashlib import blake2b

from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import agreeing

MOST_BYTES, MOST_SAMPLES = 2**28, 2**19  # in all splits, beyond which none is looked at: it would take seconds
SEEN_BEFORE = {"validation": ("train",), "test": ("train", "validation")}  # what is fitted before a split is read


def overlap(splits: Mapping[str, Split]) -> list[str]:
    """A line for each split in which samples equal some of another, in every value of x: how many. splits: by their
    names, in memory. Empty for more than MOST_BYTES or MOST_SAMPLES."""
    size = sum(split.x.numel() * split.x.element_size() for split in splits.values())
    if size > MOST_BYTES or sum(map(len, splits.values())) > MOST_SAMPLES:
        return []
    digests = {name: digests_of(split) for name, split in splits.items()}
    found = []
    for name, others in SEEN_BEFORE.items():
        others = [other for other in others if other in digests]
        seen = set().union(*(digests[other] for other in others))
        if count := sum(digest in seen for digest in digests.get(name, ())):
            these = f"{count} of {len(splits[name])} samples of {name} {agreeing(count, 'is', 'are')}"
            equal = f"{these} also in {' or '.join(others)}"
            found.append(f"{equal}, with the same x in every value: what is read of these is not of new data")
    return found


def digests_of(split: Split) -> list[bytes]:
    """16 bytes of each sample, the same for equal x of equal length."""
    x = split.x.detach().cpu().flatten(1)
    rows = (x + 0 if x.is_floating_point() else x).contiguous().numpy()  # -0 equals 0
    steps = [b""] * len(rows) if split.length is None else [str(length).encode() for length in split.length.tolist()]
    return [blake2b(row, digest_size=16, salt=length).digest() for row, length in zip(rows, steps)]
