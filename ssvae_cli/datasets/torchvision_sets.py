"""torchvision's data sets, with its own loaders and, where asked for, its own downloads."""

import gzip
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from ssvae_cli.datasets.base import ImageData, Split, hold_out
from ssvae_cli.errors import UserError, require

TEN_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


def mnist(*, root: str, download: bool, validation: int) -> ImageData:
    """70,000 handwritten digits, 28x28 (LeCun et al. 1998)."""
    return _trained_and_tested(datasets.MNIST, "mnist", root, download, validation, tuple("0123456789"))


def fashion_mnist(*, root: str, download: bool, validation: int) -> ImageData:
    """70,000 pieces of clothing, 28x28 (Xiao et al. 2017)."""
    return _trained_and_tested(datasets.FashionMNIST, "fashion_mnist", root, download, validation, FASHION)


def cifar10(*, root: str, download: bool, validation: int) -> ImageData:
    """60,000 photographs of ten kinds of object, 32x32 (Krizhevsky 2009)."""
    return _trained_and_tested(datasets.CIFAR10, "cifar10", root, download, validation, TEN_OBJECTS)


def _trained_and_tested(
    cls: Callable, name: str, root: str, download: bool, validation: int, classes: tuple[str, ...]
) -> ImageData:
    require(
        download or Path(root).is_dir(),
        f"dataset.root={root}: no such folder; give the one that holds {name}, or dataset.download=true to fetch it",
    )
    try:
        with _unpacked(Path(root), cls.__name__) as place:
            train, test = (_split(cls(place, train=part, download=download)) for part in (True, False))
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        raise UserError(
            f"dataset.root={root}: {name} could not be read ({_first_line(error)}); "
            "give the folder that holds it, or dataset.download=true to fetch it"
        ) from error
    train, held_out = hold_out(train, validation)
    return ImageData(train, held_out, test, classes)


@contextmanager
def _unpacked(root: Path, name: str) -> Iterator[Path]:
    """A folder where torchvision finds the idx files of MNIST's kind.

    torchvision reads them unpacked, beside the archives they came in; where only archives are, perhaps in a folder
    that cannot be written, they are unpacked elsewhere for the time of reading.
    """
    archives = sorted((root / name / "raw").glob("*-ubyte.gz"))
    if not archives or all(path.with_suffix("").exists() for path in archives):
        yield root
        return
    with tempfile.TemporaryDirectory() as place:
        raw = Path(place) / name / "raw"
        raw.mkdir(parents=True)
        for path in archives:
            (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        yield Path(place)


def _split(dataset) -> Split:
    """torchvision keeps [N, H, W] tensors for grey images and [N, H, W, C] arrays for colour ones."""
    x = torch.as_tensor(np.asarray(dataset.data))
    x: Tensor = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
    return Split(x.contiguous(), torch.as_tensor(dataset.targets).long())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
