"""Image files, read as 8-bit pixels."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from ssvae_cli.datasets.base import Shape
from ssvae_cli.errors import UserError, require

KINDS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # not EPS, which Pillow passes to a program
LARGEST_SIDE = 16384  # pixels; a larger image is a mistake or an attack
MODES = {1: "L", 3: "RGB"}
CHUNK = 64  # images per task of a thread: one by one, scheduling costs as much as decoding a small image
Image.preinit()  # before forking, so that not every process does it


class Unreadable(UserError):
    """A file that is damaged, cut short or no image."""


def require_size(**settings: int | None) -> None:
    """Raise UserError naming the first setting to which no image can be resized; None: the images' own size."""
    for name, size in settings.items():
        valid = size is None or 1 <= size <= LARGEST_SIDE
        require(valid, f"{name} must lie between 1 and {LARGEST_SIDE}, or be null, got {size}")


def image_paths(folder: Path) -> list[Path]:
    """Every file below a folder that is named as an image, in order; hidden files, such as a Mac's ._x.jpg, are not."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in KINDS and not p.name.startswith("."))
    require(paths != [], f"{folder}: no images; allowed: {', '.join(KINDS)}")
    return paths


def read_image(path: Path, size: int | None, channels: Literal[1, 3]) -> np.ndarray:
    """The image as a viewer shows it, uint8 [C, H, W]: rotated by its EXIF orientation, transparent parts white.

    size: resized to it on the shorter side, then cropped about the centre. Only the first of several frames is read;
    16-bit grey is scaled to 8. Raises Unreadable naming a file that is damaged, truncated or no image, or, under
    `refuse_bombs`, one with so many pixels that Pillow suspects an attack.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if size is not None:
                image.draft(None, (2 * size, 2 * size))  # decode a JPEG no larger than needed
            ImageOps.exif_transpose(image, in_place=True)
            image = _flat(image, MODES[channels])
            image.load()
        if size is not None:
            image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    except Exception as error:  # Pillow's decoders raise nearly anything on a bad file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = reason.replace(f" '{path}'", "").replace(f" {str(path)!r}", "")
        raise Unreadable(f"{path}: cannot be read as an image ({reason})") from error
    if channels == 1:
        return np.asarray(image)[None]
    lines = np.frombuffer(image.tobytes("raw", "RGB;L"), np.uint8)  # each line's reds, greens, blues
    return lines.reshape(image.height, 3, image.width).transpose(1, 0, 2)


def refuse_bombs() -> None:
    """Make Pillow's suspicion of an attack an error, which `read_image` reports."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Any image as L or RGB, its values scaled, while Pillow's own conversion may clip them."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        image = Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


@dataclass(frozen=True)
class ImageFiles:
    """Files that are all read as uint8 of one shape (C, H, W). size: resized and cropped to it, None: unchanged."""

    paths: Sequence[Path]
    shape: Shape
    size: int | None
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, rows: Sequence[int]) -> "ImageFiles":
        return replace(self, paths=[self.paths[i] for i in rows])

    def pixels(self, row: int) -> np.ndarray:
        """One image. Raises Unreadable, and UserError for one of another shape."""
        path = self.paths[row]
        pixels = read_image(path, self.size, self.shape[0])
        if pixels.shape != self.shape:
            ours, others = (f"{width}x{height} pixels" for _, height, width in (pixels.shape, self.shape))
            raise UserError(f"{path}: {ours}, but others are {others}; give size")
        return pixels

    def read(self, rows: Sequence[int], out: np.ndarray) -> None:
        """Those images into the first places of `out`; raises as `pixels`."""
        for place, row in zip(out, rows):
            place[:] = self.pixels(row)


def unreadable(sides: Sequence[ImageFiles], places: Sequence[np.ndarray | None]) -> dict[int, Unreadable]:
    """The errors of images or pairs that cannot be read, by row; the others are decoded into `places`, if not None."""
    errors = [_read(files, place) for files, place in zip(sides, places)]
    return {row: error for bad in errors[::-1] for row, error in bad.items()}


def refusal(bad: dict[int, Unreadable], total: int) -> UserError:
    """An error that names the first of the files that cannot be read, and counts them."""
    count = f"{len(bad)} of {total} images cannot be read, the first: " if len(bad) > 1 else ""
    return UserError(f"{count}{bad[min(bad)]}; dataset.on_error=skip leaves out what cannot be read")


def _read(files: ImageFiles, out: np.ndarray | None) -> dict[int, Unreadable]:
    """The errors of files that cannot be read, by row; the others are decoded straight into `out`, if not None."""

    def fill(start: int) -> dict[int, Unreadable]:
        errors = {}
        for i in range(start, min(start + CHUNK, len(files))):
            try:
                pixels = files.pixels(i)
                if out is not None:
                    out[i] = pixels
            except Unreadable as error:
                errors[i] = error
        return errors

    # Pillow decodes without the interpreter's lock. The filter is set here: in a thread it would apply to all of them.
    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2))) as pool, warnings.catch_warnings():
        refuse_bombs()
        return dict(item for chunk in pool.map(fill, range(0, len(files), CHUNK)) for item in chunk.items())
