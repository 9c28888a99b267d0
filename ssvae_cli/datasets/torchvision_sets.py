"""torchvision's data sets, by its own loaders and downloads.

Every function takes root (torchvision's root folder), download (fetch missing files), validation (number of training
images held out) and limit (train on this many of the rest; null: all), and raises UserError, in one line, if the files
are missing, damaged or cannot be fetched.
"""

import gzip
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from ssvae_cli.datasets.base import UNLABELLED, Data, limit_rows
from ssvae_cli.datasets.io.rows import Rows
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.splitting import by_draw
from ssvae_cli.errors import UserError, first_line, require
from ssvae_cli.paths import existing_folder, expanded

REMEDY = "give the folder that holds this data set, or download=true to fetch it"
DIGITS = tuple("0123456789")
STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
# What torchvision's readers raise on missing, truncated or wrong files, and its downloads on failure.
FAULTS = (RuntimeError, OSError, ValueError, EOFError, KeyError, TypeError, AssertionError, HTTPException)

Files = list[tuple[str, str | None]]  # a data set's files below root, each with the md5 that torchvision checks, if any


class Part(NamedTuple):
    """x: uint8 [N, C, H, W], perhaps a transposed view; y: integers [N]."""

    x: np.ndarray
    y: np.ndarray


Parts = tuple[Part, Part, tuple[str, ...]]  # train, test, classes


def torchvision_set(name: str, read: Callable[[str, bool], Parts]) -> Callable[..., Data]:
    """The data set that read(root, download) -> (train, test, classes) reads, with the keys that all of them share."""

    def dataset(
        *,
        root: str,
        download: bool,
        validation: int,
        limit: int | None = None,
        memory_gb: float = 4.0,
        workers: int | None = None,
    ) -> Data:
        require_root(root, download)
        return _splits(read(root, download), validation, limit, Storage(memory_gb, workers))

    dataset.__name__ = name
    return dataset


def _idx_set(name: str, cls: type, classes: tuple[str, ...]) -> Callable[..., Data]:
    """A data set in MNIST's format."""

    def read(root: str, download: bool) -> Parts:
        files = [(f"{cls.__name__}/raw/{Path(archive).stem}", None) for archive, _ in cls.resources]
        with _errors(name, root, download, files) as base, _unpacked(base, [path for path, _ in files]) as place:
            sets = [cls(place, train=part, download=download) for part in (True, False)]
        return *(Part(s.data.numpy()[:, None], s.targets.numpy()) for s in sets), classes

    return torchvision_set(name, read)


def _cifar(name: str, cls: type) -> Callable[..., Data]:
    def read(root: str, download: bool) -> Parts:
        listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
        files = [(f"{cls.base_folder}/{file}", md5) for file, md5 in listed]
        with _errors(name, root, download, files) as place:
            sets = [cls(place, train=part, download=download) for part in (True, False)]
        parts = (Part(s.data.transpose(0, 3, 1, 2), np.asarray(s.targets)) for s in sets)
        return *parts, tuple(sets[0].classes)

    return torchvision_set(name, read)


mnist = _idx_set("mnist", datasets.MNIST, DIGITS)  # 70,000 handwritten digits, 28x28 (LeCun et al. 1998)
# 70,000 pieces of clothing, 28x28 (Xiao et al. 2017).
fashion_mnist = _idx_set("fashion_mnist", datasets.FashionMNIST, tuple(datasets.FashionMNIST.classes))
# 70,000 cursive Japanese characters, 28x28 (Clanuwat et al. 2018).
kmnist = _idx_set("kmnist", datasets.KMNIST, tuple(datasets.KMNIST.classes))
cifar10 = _cifar("cifar10", datasets.CIFAR10)  # 60,000 photographs of 10 kinds of object, 32x32 (Krizhevsky 2009)
cifar100 = _cifar("cifar100", datasets.CIFAR100)  # 60,000 photographs of 100 kinds of object, 32x32 (Krizhevsky 2009)


def _read_svhn(root: str, download: bool) -> Parts:
    files = [datasets.SVHN.split_list[part][1:] for part in ("train", "test")]
    with _errors("svhn", root, download, files) as place:
        parts = [datasets.SVHN(place, split=part, download=download) for part in ("train", "test")]
    return *(Part(s.data, s.labels) for s in parts), DIGITS


# 99,289 house numbers, one digit in the middle of each, 32x32 (Netzer et al. 2011); without its `extra` part.
svhn = torchvision_set("svhn", _read_svhn)


def stl10(
    *,
    root: str,
    download: bool,
    validation: int,
    unlabelled: bool,
    limit: int | None = None,
    memory_gb: float = 4.0,
    workers: int | None = None,
) -> Data:
    """13,000 photographs of ten kinds of object, 96x96 (Coates et al. 2011).

    unlabelled: train on 100,000 more, labelled -1; validation is held out of the labelled ones in any case."""
    require_root(root, download)
    cls = datasets.STL10
    files = [(f"{cls.base_folder}/{name}", md5) for name, md5 in cls.train_list + cls.test_list]
    with _errors("stl10", root, download, files) as place:
        train, test = (cls(place, split=part, download=download) for part in ("train", "test"))
        # Memory-mapped, while torchvision would read it all; the file's axes are channels, columns, rows.
        mapped = [np.memmap(place / cls.base_folder / cls.train_list[2][0], np.uint8, "r")] if unlabelled else []
    more = [file.reshape(-1, *train.data.shape[1:]).transpose(0, 1, 3, 2) for file in mapped]
    parts = (Part(train.data, train.labels), Part(test.data, test.labels), STL10)
    return _splits(parts, validation, limit, Storage(memory_gb, workers), more)


def _splits(
    parts: Parts, validation: int, limit: int | None, storage: Storage, unlabelled: Sequence[np.ndarray] = ()
) -> Data:
    """unlabelled: arrays of more images for training alone."""
    train, test, classes = parts
    more = sum(map(len, unlabelled))
    rows, held_out = by_draw(len(train.x), validation, "validation")
    rows = torch.cat([rows, torch.arange(len(train.x), len(train.x) + more)])
    rows = rows[limit_rows(len(rows), limit)]
    both = _streamed([train.x, *unlabelled], np.concatenate([train.y, np.full(more, UNLABELLED)]), storage)
    return Data(*storage.place(both.rows(rows), both.rows(held_out), _streamed([test.x], test.y, storage)), classes)


def _streamed(x: list[np.ndarray], y: np.ndarray, storage: Storage) -> Streamed:
    count = sum(map(len, x))
    require(count == len(y), f"{count} images, but {len(y)} labels: the files do not belong together")
    return Streamed(Rows(x, np.uint8), torch.from_numpy(y).long(), None, storage.processes)


def require_root(root: str, download: bool) -> Path:
    """The folder that torchvision reads, or makes. Raises UserError where there is none and none is to be made."""
    return Path(expanded(root, "root")) if download else existing_folder(root, "root", REMEDY)


@contextmanager
def _errors(name: str, root: str, download: bool, files: Files) -> Iterator[Path]:
    """root as a path; an error of torchvision inside becomes one line that names the file and the remedy."""
    base = require_root(root, download)
    try:
        yield base
    except FAULTS as error:
        reason = first_line(error).rstrip(".: ")
        if download:
            raise UserError(f"root={root}: {name} could not be fetched or read ({reason})") from error
        what = _missing_or_damaged(base, files) or f"{name} could not be read ({reason})"
        raise UserError(f"root={root}: {what}; {REMEDY}") from error


def _missing_or_damaged(base: Path, files: Files) -> str | None:
    """The first file that is missing or damaged: torchvision's own message names none."""
    for path, md5 in files:
        if not (base / path).is_file() and not (base / f"{path}.gz").is_file():
            return f"{path} is missing"
        if md5 is not None and not check_integrity(base / path, md5):
            return f"{path} is damaged, its md5 is not the published one"
    return None


@contextmanager
def _unpacked(root: Path, files: list[str]) -> Iterator[Path]:
    """A folder of unpacked idx files, as torchvision reads them: root, or a temporary one if root has only archives."""
    plain, packed = ([(root / f"{path}{end}").is_file() for path in files] for end in ("", ".gz"))
    if all(plain) or not all(a or b for a, b in zip(plain, packed)):
        yield root
        return
    with tempfile.TemporaryDirectory() as place:
        for path, is_plain in zip(files, plain):
            copy = Path(place) / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((root / path).read_bytes() if is_plain else _gunzip(root / f"{path}.gz"))
        yield Path(place)


def _gunzip(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged archive ({error})") from error
