"""torchvision's data sets, with its own loaders and, where asked for, its own downloads.

Every function takes root (the folder that torchvision calls so), download (fetch what is missing), validation (how many
training images are held out) and limit (train on this many of the rest; null: all), and raises UserError, in one line,
where the files are missing, damaged or cannot be fetched.
"""

import gzip
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from ssvae_cli.datasets.base import Data, hold_out_rows, limit_rows
from ssvae_cli.datasets.io.rows import Rows
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import UserError, require

DIGITS = tuple("0123456789")
STL10 = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
# What torchvision's readers raise on files that are missing, cut short or of another kind, and its downloads.
FAULTS = (RuntimeError, OSError, ValueError, EOFError, KeyError, TypeError, AssertionError, HTTPException)

Files = list[tuple[str, str | None]]  # what a data set needs below root, with its md5 where torchvision checks one


class Part(NamedTuple):
    """x: uint8 [N, C, H, W], perhaps a transposed view; y: integers [N]."""

    x: np.ndarray
    y: np.ndarray


class Kept(NamedTuple):
    """How many images are held out, how many are trained on, and what of them is held in memory."""

    validation: int
    limit: int | None
    memory_gb: float
    workers: int | None

    @property
    def storage(self) -> Storage:
        return Storage(self.memory_gb, self.workers)


def torchvision_set(read: Callable[[str, bool], tuple[Part, Part, tuple[str, ...]]]) -> Callable[..., Data]:
    """The data set that read(root, download) -> (train, test, classes) reads, with what every one of them takes."""

    def dataset(
        *,
        root: str,
        download: bool,
        validation: int,
        limit: int | None = None,
        memory_gb: float = 4.0,
        workers: int | None = None,
    ) -> Data:
        return _made(*read(root, download), Kept(validation, limit, memory_gb, workers))

    dataset.__name__, dataset.__doc__ = read.__name__, read.__doc__
    return dataset


@torchvision_set
def mnist(root, download):
    """70,000 handwritten digits, 28x28 (LeCun et al. 1998)."""
    return *_idx_set(datasets.MNIST, "mnist", root, download), DIGITS


@torchvision_set
def fashion_mnist(root, download):
    """70,000 pieces of clothing, 28x28 (Xiao et al. 2017)."""
    return *_idx_set(datasets.FashionMNIST, "fashion_mnist", root, download), tuple(datasets.FashionMNIST.classes)


@torchvision_set
def kmnist(root, download):
    """70,000 cursive Japanese characters, 28x28 (Clanuwat et al. 2018)."""
    return *_idx_set(datasets.KMNIST, "kmnist", root, download), tuple(datasets.KMNIST.classes)


@torchvision_set
def cifar10(root, download):
    """60,000 photographs of ten kinds of object, 32x32 (Krizhevsky 2009)."""
    return _cifar(datasets.CIFAR10, "cifar10", root, download)


@torchvision_set
def cifar100(root, download):
    """60,000 photographs of a hundred kinds of object, 32x32 (Krizhevsky 2009)."""
    return _cifar(datasets.CIFAR100, "cifar100", root, download)


@torchvision_set
def svhn(root, download):
    """99,289 house numbers, one digit in the middle of each, 32x32 (Netzer et al. 2011); without its `extra` part."""
    files = [(name, md5) for _, name, md5 in (datasets.SVHN.split_list[part] for part in ("train", "test"))]
    with _errors("svhn", root, download, files) as place:
        parts = [datasets.SVHN(place, split=part, download=download) for part in ("train", "test")]
    return *(Part(s.data, s.labels) for s in parts), DIGITS


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

    unlabelled: 100,000 more to train on, labelled -1; validation is held out of the labelled ones either way.
    """
    cls = datasets.STL10
    files = [(f"{cls.base_folder}/{name}", md5) for name, md5 in cls.train_list + cls.test_list]
    with _errors("stl10", root, download, files) as place:
        train, test = (cls(place, split=part, download=download) for part in ("train", "test"))
        # Mapped, where torchvision would read it whole; a file holds channels, columns, rows.
        mapped = np.memmap(place / cls.base_folder / cls.train_list[2][0], np.uint8, "r") if unlabelled else None
    more = None if mapped is None else mapped.reshape(-1, *train.data.shape[1:]).transpose(0, 1, 3, 2)
    return _made(
        *(Part(s.data, s.labels) for s in (train, test)),
        STL10,
        Kept(validation, limit, memory_gb, workers),
        more,
    )


def _idx_set(cls, name: str, root: str, download: bool) -> list[Part]:
    """Train and test of a data set in MNIST's format."""
    files = [(f"{cls.__name__}/raw/{Path(archive).stem}", None) for archive, _ in cls.resources]
    with _errors(name, root, download, files) as base, _unpacked(base, [path for path, _ in files]) as place:
        sets = [cls(place, train=part, download=download) for part in (True, False)]
    return [Part(s.data.numpy()[:, None], s.targets.numpy()) for s in sets]


def _cifar(cls, name: str, root: str, download: bool) -> tuple[Part, Part, tuple[str, ...]]:
    listed = [*cls.train_list, *cls.test_list, (cls.meta["filename"], cls.meta["md5"])]
    files = [(f"{cls.base_folder}/{file}", md5) for file, md5 in listed]
    with _errors(name, root, download, files) as place:
        train, test = (cls(place, train=part, download=download) for part in (True, False))
    parts = (Part(s.data.transpose(0, 3, 1, 2), np.asarray(s.targets)) for s in (train, test))
    return *parts, tuple(train.classes)


def _made(train: Part, test: Part, classes: tuple[str, ...], kept: Kept, unlabelled: np.ndarray | None = None) -> Data:
    """unlabelled: images that follow train's, to be trained on alone."""
    more = train.x[:0] if unlabelled is None else unlabelled
    trained, held = hold_out_rows(len(train.x), kept.validation)
    trained = torch.cat([trained, torch.arange(len(train.x), len(train.x) + len(more))])
    trained = trained[limit_rows(len(trained), kept.limit)]
    both = _split([train.x, more], np.concatenate([train.y, np.full(len(more), -1)]), kept.storage)
    tests = _split([test.x], test.y, kept.storage)
    return Data(*kept.storage.place(both.rows(trained), both.rows(held), tests), classes)


def _split(x: list[np.ndarray], y: np.ndarray, storage: Storage) -> Streamed:
    count = sum(map(len, x))
    require(count == len(y), f"{count} images, but {len(y)} labels: the files do not belong together")
    return Streamed(Rows(x, np.uint8), torch.from_numpy(y).long(), None, storage.processes)


@contextmanager
def _errors(name: str, root: str, download: bool, files: Files) -> Iterator[Path]:
    """root as a path; what torchvision raises inside becomes one line that names the file and what to do."""
    base = Path(root).expanduser()
    remedy = f"give the folder that holds {name}, or download=true to fetch it"
    require(download or base.is_dir(), f"root={root}: no such folder; {remedy}")
    try:
        yield base
    except FAULTS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".: ")
        if download:
            raise UserError(f"root={root}: {name} could not be fetched or read ({reason})") from error
        what = _missing_or_damaged(base, files) or f"{name} could not be read ({reason})"
        raise UserError(f"root={root}: {what}; {remedy}") from error


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
