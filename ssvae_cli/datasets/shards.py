"""Shards: tar archives of images, in the layout of WebDataset, read in place and in any order."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch

from ssvae_cli.datasets.base import UNLABELLED, Data, Split, limit_rows
from ssvae_cli.datasets.io.archives import Member, members
from ssvae_cli.datasets.io.image_files import OnError, Size, files_of_one_shape, load
from ssvae_cli.datasets.io.images import KINDS, require_size
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.measurements import by_number, listed
from ssvae_cli.datasets.splitting import Share, by_hash
from ssvae_cli.errors import allowed, counted, require
from ssvae_cli.paths import existing

PARTS = {"train": "train", "test": "test", "val": "validation", "valid": "validation", "validation": "validation"}
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
PART = re.compile(r"(train|test|validation|valid|val)(?![a-z])", re.IGNORECASE)


class Sample(NamedTuple):
    """The files of one sample, by what follows the first dot of their names."""

    name: str  # the archive's and the sample's
    files: dict[str, Member]


def shards(
    *,
    root: str,
    size: Size,
    channels: int,
    image: str | None = None,
    label: str | None = "cls",
    test: Share = None,
    validation: Share = None,
    on_error: OnError = "raise",
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
    fitted: dict[str, Any] | None = None,
) -> Data:
    """The samples of every .tar below root; those in shards, or folders of them, that are named test, val or validation
    are for that. Files of one sample follow each other and share their name up to its first dot.

    image: the extension of a sample's image; None: the only one of images that there is. label: that of a file with the
    name of its class; None, or a name that no sample has while it is `cls`: no classes. size, on_error: as in
    `files_of_one_shape` and `load`. test, validation: how many samples, or which share, are held out by a hash of their
    names where no shard is for that; None: a tenth. limit: train on this many; None: all. memory_gb: images that take
    more than this as 8-bit pixels are streamed by `workers` processes, None: one per core. fitted: of the data that
    were trained on. Raises UserError, in one line that names the place.
    """
    require_size(size=size)
    base = existing(root, "root", "give a folder of .tar shards")
    storage = Storage(memory_gb, workers)
    samples, notes = _samples(base)
    kinds = Counter(kind for part in samples.values() for sample in part for kind in sample.files)
    image = _image(base, image, kinds)
    samples, left_out = _with_images(samples, image)
    notes += left_out
    for part, share in (("test", test), ("validation", validation)):
        if part in samples:
            require(share is None, f"{part} must be null, as shards of {base} are for it; got {share}")
            continue
        every = samples["train"]
        rest, held_out = by_hash([sample.name for sample in every], share, part)
        samples |= {"train": [every[i] for i in rest], part: [every[i] for i in held_out]}
        notes.append(f"{base}: {len(held_out)} of {len(every)} samples for {part}, by a hash of their names")
    samples["train"] = [samples["train"][i] for i in limit_rows(len(samples["train"]), limit)]

    flat = [sample for part in samples.values() for sample in part]
    names, labels = _classes(base, flat, label, kinds)
    files, note = files_of_one_shape([s.files[image] for s in flat], size, channels, (fitted or {}).get("shape"))
    streamed = Streamed(files, labels, None, storage.processes, row=torch.arange(len(flat)))
    stream = storage.exceeded_by(len(flat) * math.prod(files.shape))
    first = dict(zip(samples, torch.tensor([0, *map(len, samples.values())]).cumsum(0).tolist()))

    def split(part: str) -> Split | Streamed:
        rows = torch.arange(first[part], first[part] + len(samples[part]))
        return load(streamed.rows(rows), part, on_error=on_error, stream=stream)

    return Data(
        **{part: split(part) for part in ("train", "validation", "test")},
        classes=names,
        names=[sample.name for sample in flat],
        fitted={"shape": list(files.shape)},
        notes=tuple(filter(None, [*notes, note])),
    )


def _samples(base: Path) -> tuple[dict[str, list[Sample]], list[str]]:
    """(The samples of train and, where shards are named so, of test and validation; notes)."""
    archives = sorted(base.rglob("*.tar")) if base.is_dir() else [base]
    packed = sorted(path.name for kind in COMPRESSED for path in base.rglob(f"*{kind}"))
    why = f"; {packed[0]} is compressed, and samples are read where they lie: decompress it" if packed else ""
    require(archives != [], f"root={base}: no .tar shards{why}")
    parts: dict[str | None, list[Sample]] = {}
    for archive in archives:
        below = archive.relative_to(base).as_posix() if archive != base else archive.name
        named = PART.match(below)
        part = PARTS[named[1].lower()] if named else None
        parts.setdefault(part, []).extend(_grouped(archive, below))
    if "train" not in parts:
        require(
            None in parts, f"{base}: shards of {', '.join(p for p in parts if p)} alone; name those for training train"
        )
        parts["train"] = parts.pop(None)
    others = parts.pop(None, [])
    note = f"{base}: left out, as other shards are named train: {counted(len(others), 'sample')}" if others else ""
    return {part: found for part, found in parts.items() if part}, [note]


def _grouped(archive: Path, below: str) -> list[Sample]:
    """The samples of one archive: files that follow each other, of one name up to the first dot."""
    samples: list[Sample] = []
    for member in members(archive):
        path = PurePosixPath(member.name)
        stem, _, kind = path.name.partition(".")
        if not stem:  # hidden, as a Mac's ._x.jpg
            continue
        name = f"{below}:{path.with_name(stem)}"
        if not samples or samples[-1].name != name:
            samples.append(Sample(name, {}))
        twice = f"{archive}: two files that follow each other are called {member.name}; give each sample its own name"
        require(kind.lower() not in samples[-1].files, twice)
        samples[-1].files[kind.lower()] = member
    return samples


def _image(base: Path, image: str | None, kinds: Counter) -> str:
    """The extension of images. Raises UserError where there is none, or several and none is chosen."""
    found = sorted(kind for kind in kinds if f".{kind.rpartition('.')[2]}" in KINDS)
    if image is not None:
        require(image in kinds, f"image={image}: no sample of {base} has such a file; {allowed(image, found)}")
        return image
    there = f"found: {listed(sorted(kinds))}" if kinds else "they are empty"
    require(found != [], f"{base}: no images in its shards; {there}; allowed: {', '.join(KINDS)}")
    dots = "a sample's name ends at its first dot"
    require(len(found) == 1, f"{base}: several kinds of images, {listed(found)}; dataset.image chooses one; {dots}")
    return found[0]


def _with_images(parts: dict[str, list[Sample]], image: str) -> tuple[dict[str, list[Sample]], list[str]]:
    """(Those samples that have an image, a note on the others)."""
    kept = {part: [sample for sample in samples if image in sample.files] for part, samples in parts.items()}
    missing = {part: len(samples) - len(kept[part]) for part, samples in parts.items()}
    for part, samples in kept.items():
        require(samples != [], f"{part}: no sample of its shards has an image called .{image}")
    counts = {part: counted(count, "sample") for part, count in missing.items() if count}
    return kept, [f"{part}: left out, without a .{image}: {samples}" for part, samples in counts.items()]


def _classes(
    base: Path, samples: Sequence[Sample], label: str | None, kinds: Counter
) -> tuple[tuple[str, ...], torch.Tensor]:
    """(The names of the classes, numbers in their order; the class of each sample)."""
    if label is None or (label == "cls" and label not in kinds):
        return (), torch.full((len(samples),), UNLABELLED)
    require(label in kinds, f"label={label}: no sample of {base} has such a file; {allowed(label, sorted(kinds))}")
    words = [_word(sample.files[label]) if label in sample.files else None for sample in samples]
    names = sorted({word for word in words if word is not None}, key=by_number)
    place = {name: i for i, name in enumerate(names)}
    return tuple(names), torch.tensor([UNLABELLED if word is None else place[word] for word in words])


def _word(member: Member) -> str | None:
    """A class as it is written; None for an empty file. Raises UserError for one that is no short text."""
    text = member.content[:200].decode("utf-8", "replace").strip()
    require(
        len(text) < 100 and text.isprintable(), f"{member}: not the name of a class; dataset.label=null: no classes"
    )
    return text or None
