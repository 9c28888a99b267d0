"""torchvision's data sets, with its own loaders and, where asked for, its own downloads.

Every function takes root (the folder that torchvision calls so), download (fetch what is missing), validation (how many
training images are held out) and limit (train on this many of the rest; null: all), and raises UserError, in one line,
where the files are missing, damaged or cannot be fetched.
"""

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from ssvae_cli.datasets.base import Data, Split, hold_out, limited
from ssvae_cli.errors import UserError, require

DIGITS = tuple("0123456789")
STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
# What torchvision's readers raise on files that are missing, cut short or of another kind, and its downloads.
FAULTS = (RuntimeError, OSError, ValueError, EOFError, KeyError, TypeError, AssertionError, HTTPException)

Files = list[tuple[str, str | None]]  # what a data set needs below root, with its md5 where torchvision checks one


def mnist(*, root: str, download: bool, validation: int, limit: int | None = None) -> Data:
    """70,000 handwritten digits, 28x28 (LeCun et al. 1998)."""
    return _idx_set(datasets.MNIST, "mnist", root, download, validation, limit, DIGITS)


def fashion_mnist(*, root: str, download: bool, validation: int, limit: int | None = None) -> Data:
    """70,000 pieces of clothing, 28x28 (Xiao et al. 2017)."""
    return _idx_set(datasets.FashionMNIST, "fashion_mnist", root, download, validation, limit)


def kmnist(*, root: str, download: bool, validation: int, limit: int | None = None) -> Data:
    """70,000 cursive Japanese characters, 28x28 (Clanuwat et al. 2018)."""
    return _idx_set(datasets.KMNIST, "kmnist", root, download, validation, limit)


def cifar10(*, root: str, download: bool, validation: int, limit: int | None = None) -> Data:
    """60,000 photographs of ten kinds of object, 32x32 (Krizhevsky 2009)."""
    return _cifar(datasets.CIFAR10, "cifar10", root, download, validation, limit)


def cifar100(*, root: str, download: bool, validation: int, limit: int | None = None) -> Data:
    """60,000 photographs of a hundred kinds of object, 32x32 (Krizhevsky 2009)."""
    return _cifar(datasets.CIFAR100, "cifar100", root, download, validation, limit)


def svhn(*, root: str, download: bool, validation: int, limit: int | None = None) -> Data:
    """99,289 house numbers, one digit in the middle of each, 32x32 (Netzer et al. 2011); without its `extra` part."""
    files = [(name, md5) for _, name, md5 in (datasets.SVHN.split_list[part] for part in ("train", "test"))]
    with _errors("svhn", root, download, files) as place:
        train, test = (datasets.SVHN(place, split=part, download=download) for part in ("train", "test"))
    return _made(*(_split(s.data, s.labels) for s in (train, test)), DIGITS, validation, limit)


def stl10(*, root: str, download: bool, validation: int, unlabelled: bool, limit: int | None = None) -> Data:
    """13,000 photographs of ten kinds of object, 96x96 (Coates et al. 2011).

    unlabelled: 100,000 more to train on, labelled -1; validation is held out of the labelled ones either way.
    """
    cls = datasets.STL10
    files = [(f"{cls.base_folder}/{name}", md5) for name, md5 in cls.train_list + cls.test_list]
    with _errors("stl10", root, download, files) as place:
        train, test = (cls(place, split=part, download=download) for part in ("train", "test"))
        more = cls(place, split="unlabeled", download=download) if unlabelled else None
    kept, held = hold_out(_split(train.data, train.labels), validation)
    if more is not None:
        kept = Split(
            torch.cat([kept.x, torch.from_numpy(more.data)]), torch.cat([kept.y, torch.from_numpy(more.labels).long()])
        )
    return Data(limited(kept, limit), held, _split(test.data, test.labels), STL10)


def _idx_set(
    cls,
    name: str,
    root: str,
    download: bool,
    validation: int,
    limit: int | None,
    classes: tuple[str, ...] | None = None,
) -> Data:
    files = [(f"{cls.__name__}/raw/{Path(archive).stem}", None) for archive, _ in cls.resources]
    with _errors(name, root, download, files) as base, _unpacked(base, [path for path, _ in files]) as place:
        train, test = (cls(place, train=part, download=download) for part in (True, False))
    splits = (_split(s.data.numpy()[:, None], s.targets.numpy()) for s in (train, test))
    return _made(*splits, classes or tuple(cls.classes), validation, limit)


def _cifar(cls, name: str, root: str, download: bool, validation: int, limit: int | None) -> Data:
    listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
    files = [(f"{cls.base_folder}/{file}", md5) for file, md5 in listed]
    with _errors(name, root, download, files) as place:
        train, test = (cls(place, train=part, download=download) for part in (True, False))
    splits = (_split(s.data.transpose(0, 3, 1, 2), np.asarray(s.targets)) for s in (train, test))
    return _made(*splits, tuple(train.classes), validation, limit)


def _made(train: Split, test: Split, classes: tuple[str, ...], validation: int, limit: int | None) -> Data:
    kept, held = hold_out(train, validation)
    return Data(limited(kept, limit), held, test, classes)


def _split(x: np.ndarray, y: np.ndarray) -> Split:
    """x: uint8 [N, C, H, W], perhaps a transposed view; y: integers [N]."""
    require(len(x) == len(y), f"{len(x)} images, but {len(y)} labels: the files do not belong together")
    return Split(torch.from_numpy(x).contiguous(), torch.from_numpy(y).long())


@contextmanager
def _errors(name: str, root: str, download: bool, files: Files) -> Iterator[Path]:
    """root as a path; what torchvision raises inside becomes one line that names the file and what to do."""
    base = Path(root).expanduser()
    remedy = f"give the folder that holds {name}, or dataset.download=true to fetch it"
    require(download or base.is_dir(), f"dataset.root={root}: no such folder; {remedy}")
    try:
        yield base
    except FAULTS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".: ")
        if download:
            raise UserError(f"dataset.root={root}: {name} could not be fetched or read ({reason})") from error
        what = _missing_or_damaged(base, files) or f"{name} could not be read ({reason})"
        raise UserError(f"dataset.root={root}: {what}; {remedy}") from error


def _missing_or_damaged(base: Path, files: Files) -> str | None:
    """The first file that keeps torchvision from reading a set: its own message names none."""
    for path, md5 in files:
        if not (base / path).is_file() and not (base / f"{path}.gz").is_file():
            return f"{path} is missing"
        if md5 is not None and not check_integrity(base / path, md5):
            return f"{path} is damaged, its md5 is not the published one"
    return None


@contextmanager
def _unpacked(root: Path, files: list[str]) -> Iterator[Path]:
    """A folder where torchvision finds the idx files of MNIST's kind.

    torchvision reads them unpacked, beside the archives they came in; where only archives are, perhaps in a folder
    that cannot be written, they are unpacked elsewhere for the time of reading.
    """
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
