"""A folder of your own: train/ and test/, each with a folder of images for every class."""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps

from ssvae_cli.datasets.base import ImageData, Split, hold_out
from ssvae_cli.errors import UserError, nearest, require

KINDS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
MODES = {1: "L", 3: "RGB"}
THREADS = 4  # PIL decodes without the interpreter's lock


def folder(*, root: str, size: int | None, channels: Literal[1, 3], validation: int) -> ImageData:
    """Images under root/train/<class>/ and root/test/<class>/.

    size: images are resized to it on their shorter side and cropped about the centre; null takes them as they are,
    and they must then be alike. Raises UserError naming the first file that cannot be read.
    """
    require(size is None or size >= 1, f"dataset.size must be at least 1 or null, got {size}")
    base = Path(root)
    require(base.is_dir(), f"dataset.root={root}: no such folder; it should hold train/ and test/")
    classes = _classes(base / "train")
    for name in _classes(base / "test"):
        require(name in classes, f"{base / 'test' / name}: train has no such class; {nearest(name, classes)}")
    train, held_out = hold_out(_read(base / "train", classes, size, channels), validation)
    test = _read(base / "test", classes, size, channels)
    require(
        train.x.shape[1:] == test.x.shape[1:],
        f"{root}: train has images of {_text(train)}, test of {_text(test)}; give dataset.size",
    )
    return ImageData(train, held_out, test, classes)


def _classes(part: Path) -> tuple[str, ...]:
    require(part.is_dir(), f"{part}: no such folder; dataset.root should hold train/ and test/")
    names = tuple(sorted(p.name for p in part.iterdir() if p.is_dir() and not p.name.startswith(".")))
    require(names != (), f"{part}: no classes; it should hold a folder of images for every class")
    return names


def _read(part: Path, classes: tuple[str, ...], size: int | None, channels: int) -> Split:
    files = list(_files(part, classes))
    require(files != [], f"{part}: no images; allowed: {', '.join(sorted(KINDS))}")
    with ThreadPoolExecutor(THREADS) as pool:
        images = list(pool.map(lambda item: _image(item[0], size, channels), files))
    for (path, _), image in zip(files, images):
        require(
            image.shape == images[0].shape,
            f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but {files[0][0].name} has "
            f"{images[0].shape[1]}x{images[0].shape[0]}; give dataset.size to make them alike",
        )
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return Split(x, torch.tensor([label for _, label in files]))


def _files(part: Path, classes: tuple[str, ...]) -> Iterator[tuple[Path, int]]:
    for label, name in enumerate(classes):
        for path in sorted((part / name).rglob("*")):
            if path.suffix.lower() in KINDS:
                yield path, label


def _image(path: Path, size: int | None, channels: int) -> np.ndarray:
    """uint8 [H, W, C]; a file with a hostile number of pixels is refused, like one that is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                image = _eight_bits(opened).convert(MODES[channels])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path}: cannot be read as an image ({error})") from None
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(image.height, image.width, channels)


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey is scaled, which PIL's own conversion would clip."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        return Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
    return image


def _text(split: Split) -> str:
    return "x".join(map(str, split.x.shape[1:]))
