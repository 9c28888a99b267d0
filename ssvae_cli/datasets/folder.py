"""A folder of your own images: photos without labels, or a folder for every class."""

import difflib
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, Literal

import torch

from ssvae_cli.datasets.base import UNLABELLED, Data, Split, limit_rows
from ssvae_cli.datasets.io.image_files import OnError, Size, files_of_one_shape, load
from ssvae_cli.datasets.io.images import KINDS, image_paths, require_size
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.splitting import by_hash
from ssvae_cli.errors import allowed, counted, require
from ssvae_cli.paths import existing_folder

SHOWN = 20  # names in an error line, at most
PARTS = {"train": ("train",), "test": ("test",), "validation": ("validation", "val", "valid")}
# Folders that a camera or an archive names, and not a person: dates, 2021 or 2021-07-12 Rome, and 100CANON.
BY_DATE = re.compile(r"(19|20)\d\d(\d{4})?(?!\d)|[1-9]\d\d[A-Z0-9_]{5}$")

Rows = Sequence[int]


def folder(
    *,
    root: str,
    size: Size,
    channels: Literal[1, 3],
    classes: Literal["auto", "folders", "none"] = "auto",
    test: int | float | None = None,
    validation: int | float | None = None,
    on_error: OnError = "raise",
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
    fitted: dict[str, Any] | None = None,
) -> Data:
    """Every image below root, in folders or not; or those below root/train/, root/test/ and root/validation/.

    size, on_error: as in `files_of_one_shape` and `load`. classes: whether the first folder below root, or below
    train/, names an image's class; auto decides by `_names_of_classes`. test, validation: how many images, or which
    share, are held out by a hash of their names if root has no such folder; None: a tenth. limit: train on this many;
    None: all. memory_gb: images that take more than this as 8-bit pixels are streamed by `workers` processes, None: one
    per core. fitted: of the data that were trained on. Raises UserError, in one line that names the place.
    """
    require_size(size=size)
    base = existing_folder(root, "root", "give a folder of images")
    storage = Storage(memory_gb, workers)
    places, notes = _parts(base)
    paths, rows = [], {}
    for part, place in places.items():
        images, note = image_paths(place)
        rows[part] = range(len(paths), len(paths) + len(images))
        paths += images
        notes.append(note)
    below = [paths[i].relative_to(place) for part, place in places.items() for i in rows[part]]
    names, note = _names_of_classes(places, below, rows, classes, divided=len(places) > 1 or places["train"] != base)
    notes.append(note)
    for part, share in (("test", test), ("validation", validation)):
        if part in rows:
            require(share is None, f"{part} must be null, as {places[part]} is used instead; got {share}")
            continue
        every = rows["train"]
        rest, held_out = by_hash([below[i].as_posix() for i in every], share, part)
        rows |= {"train": [every[i] for i in rest], part: [every[i] for i in held_out]}
        notes.append(f"{places['train']}: {len(held_out)} of {len(every)} images for {part}, by a hash of their names")
    rows["train"] = [rows["train"][i] for i in limit_rows(len(rows["train"]), limit)]

    files, note = files_of_one_shape(paths, size, channels, (fitted or {}).get("shape"))
    labels = torch.tensor([names.index(path.parts[0]) if path.parts[0] in names else UNLABELLED for path in below])
    streamed = Streamed(files, labels, None, storage.processes, row=torch.arange(len(paths)))
    stream = storage.exceeded_by(sum(map(len, rows.values())) * math.prod(files.shape))

    def split(part: str) -> Split | Streamed:
        return load(streamed.rows(torch.tensor(rows[part])), part, on_error=on_error, stream=stream)

    return Data(
        **{part: split(part) for part in ("train", "validation", "test")},
        classes=names,
        names=[path.relative_to(base).as_posix() for path in paths],
        fitted={"shape": list(files.shape)},
        notes=tuple(filter(None, [*notes, note])),
    )


def _parts(base: Path) -> tuple[dict[str, Path], list[str]]:
    """(The folders of train and, where they exist, of test and validation; notes.) Without train/, all is train.

    train/ among other folders of images, without test/ or validation/, is one of these: a photo of trains."""
    present = {entry.name.lower(): entry for entry in base.iterdir() if entry.is_dir()}
    parts = {part: present[name] for part, names in PARTS.items() for name in names if name in present}
    others = [
        entry.name
        for entry in sorted(base.iterdir())
        if entry not in parts.values() and not entry.name.startswith(".")
        if entry.is_dir() or entry.suffix.lower() in KINDS
    ]
    if "train" not in parts:
        lonely = ", ".join(f"{path.name}/" for path in parts.values())
        require(not parts, f"{base}: it holds {lonely} but no train/; move the images for training into train/")
        return {"train": base}, []
    if len(parts) == 1 and others:
        note = f"{base}: train/ is read as one folder of several, as there is no test/ and no validation/"
        return {"train": base}, [note]
    left_out = f"{base}: left out, as train/ is there: {', '.join(others[:SHOWN])}" if others else ""
    return parts, [left_out]


def _names_of_classes(
    places: dict[str, Path], below: Sequence[PurePath], rows: dict[str, Rows], classes: str, *, divided: bool
) -> tuple[tuple[str, ...], str]:
    """(The names of the classes, () for none; a note that says why.)

    auto: folders tell of classes if there are two and no image of train lies outside them, unless most are named by
    date or by a camera. Where train is not divided from test by the user, each must hold different images, not only
    further folders. Where train and test share no folder, they are none either. Raises UserError for a folder of
    another part that train lacks, and for one without images.
    """
    if classes == "none":
        return (), ""
    firsts = {part: Counter(p.parts[0] for p in _in_folders(below, rows[part])) for part in rows}
    train, place = [below[i] for i in rows["train"]], places["train"]
    folders = {part: _folders(place) if divided else [] for part, place in places.items()}
    named = sorted({*firsts["train"], *(folder.name for folder in folders["train"])})
    if classes == "auto":
        shallow = {path.parts[0] for path in train if len(path.parts) == 2}
        others = {name for part in firsts if part != "train" for name in firsts[part]}
        reasons = {
            "its images lie in no folders": not named,
            "some of its images lie in no folder": sum(firsts["train"].values()) < len(train),
            "it holds one folder": len(named) == 1,
            "its folders are named by dates or by a camera": sum(map(bool, map(BY_DATE.match, named))) > len(named) / 2,
            "some of its folders hold folders alone": not divided and len(shallow) < len(named),
            "no folder of it is in the other parts": bool(others) and not others & set(named),
        }
        reason = next((reason for reason, holds in reasons.items() if holds), None)
        if reason:
            remedy = "; dataset.classes=folders takes them from its folders" if named else ""
            return (), f"{place}: no classes, as {reason}{remedy}"
    require(len(named) > 0, f"classes={classes}: {place} holds no folders of images")
    for part in places:
        for folder in folders[part]:
            close = difflib.get_close_matches(folder.name, named, n=SHOWN, cutoff=0.0)
            require(folder.name in named, f"{folder}: train has no such class; {allowed(folder.name, close)}")
            require(folder.name in firsts[part], f"{folder}: no images; allowed: {', '.join(KINDS)}")
    listed = ", ".join(named[:SHOWN]) + (", ..." if len(named) > SHOWN else "")
    classes = counted(len(named), "class", "classes")
    note = f"{places['train']}: {classes}, by its folders: {listed}; dataset.classes=none ignores them"
    return tuple(named), note


def _folders(place: Path) -> list[Path]:
    """Those directly in a place, without hidden ones."""
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _in_folders(below: Sequence[PurePath], rows: Rows) -> list[PurePath]:
    """Those of the rows that lie in a folder."""
    return [below[i] for i in rows if len(below[i].parts) > 1]
