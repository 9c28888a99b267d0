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
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # not EPS, which Pillow hands to a program
LARGEST_SIDE = 16384  # pixels; a picture of more is a mistake or an attack
MODES = {1: "L", 3: "RGB"}
Image.preinit()  # before processes are forked that would each do it
CHUNK = 64  # images a thread's task: one by one, handing them out costs as much as a small picture


class Unreadable(UserError):
    """A file that is damaged, cut short or no image."""


def require_size(size: int | None, key: str = "size") -> None:
    """Raise UserError unless images can be resized to it; None takes them as they are."""
    require(
        size is None or 1 <= size <= LARGEST_SIDE,
        f"{key} must lie between 1 and {LARGEST_SIDE}, or be null, got {size}",
    )


def is_image(path: Path) -> bool:
    """Whether the name ends as an image's does; hidden files, such as the ._x.jpg of a Mac, are none."""
    return path.suffix.lower() in KINDS and not path.name.startswith(".")


def read_image(path: Path, size: int | None, channels: Literal[1, 3]) -> np.ndarray:
    """The picture as a viewer shows it, uint8 [C, H, W]: turned as its EXIF says, transparent parts white.

    size: resized to it on the shorter side, then cropped about the centre. Of several frames the first is read;
    16-bit grey is scaled to 8. Raises Unreadable naming a file that is damaged, cut short or no image, and one with so
    many pixels that Pillow suspects an attack, provided its warning of that is made an error.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if size is not None:
                image.draft(None, (2 * size, 2 * size))  # a JPEG is decoded no larger than it has to be
            ImageOps.exif_transpose(image, in_place=True)
            image = _flat(image, MODES[channels])
            image.load()
        if size is not None:
            image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    except Exception as error:  # Pillow's decoders raise nearly anything on a bad file
        reason = (
            (str(error).splitlines() or [type(error).__name__])[0]
            .replace(f" '{path}'", "")
            .replace(f" {str(path)!r}", "")
        )
        raise Unreadable(f"{path}: cannot be read as an image ({reason})") from error
    if channels == 1:
        return np.asarray(image)[None]
    lines = np.frombuffer(image.tobytes("raw", "RGB;L"), np.uint8)  # a line's reds, its greens, its blues
    return lines.reshape(image.height, 3, image.width).transpose(1, 0, 2)


def refuse_bombs() -> None:
    """Make Pillow's suspicion of an attack an error, which `read_image` tells as one."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Any image as L or RGB, its values kept rather than clipped, where Pillow's own conversion would not."""
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
    """Files that are all read as uint8 of one shape (C, H, W). size: resized and cropped to it, None: as they are."""

    paths: Sequence[Path]
    shape: Shape
    size: int | None
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, rows: Sequence[int]) -> "ImageFiles":
        return replace(self, paths=[self.paths[i] for i in rows])

    def pixels(self, row: int) -> np.ndarray:
        """One image. Raises Unreadable, and UserError for one that is not like the others."""
        path = self.paths[row]
        pixels = read_image(path, self.size, self.shape[0])
        if pixels.shape != self.shape:
            raise UserError(f"{path}: {_text(pixels.shape)}, but others are {_text(self.shape)}; give size")
        return pixels

    def read(self, rows: Sequence[int], out: np.ndarray) -> None:
        """Those images into the first places of `out`; raises as `pixels`."""
        for place, row in zip(out, rows):
            place[:] = self.pixels(row)


def unreadable(sides: Sequence[ImageFiles], places: Sequence[np.ndarray | None]) -> dict[int, Unreadable]:
    """What cannot be read of images or pairs, by row; the others go to their places, where those are given."""
    found = [_read(files, place) for files, place in zip(sides, places)]
    return {row: error for bad in found[::-1] for row, error in bad.items()}


def refusal(bad: dict[int, Unreadable], total: int) -> UserError:
    """The line that names the first of the files that cannot be read, and counts them."""
    count = f"{len(bad)} of {total} images cannot be read, the first: " if len(bad) > 1 else ""
    return UserError(f"{count}{bad[min(bad)]}; on_error=skip leaves out what cannot be read")


def _read(files: ImageFiles, out: np.ndarray | None) -> dict[int, Unreadable]:
    """What cannot be read, by row; the others are decoded straight into their places in `out`."""

    def fill(start: int) -> dict[int, Unreadable]:
        unread = {}
        for i in range(start, min(start + CHUNK, len(files))):
            try:
                pixels = files.pixels(i)
            except Unreadable as error:
                unread[i] = error
                continue
            if out is not None:
                out[i] = pixels
        return unread

    # Pillow decodes without the interpreter's lock. The filter is set here: in a thread it would hold for all of them.
    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2))) as pool, warnings.catch_warnings():
        refuse_bombs()
        return dict(item for chunk in pool.map(fill, range(0, len(files), CHUNK)) for item in chunk.items())


def _text(shape: Shape) -> str:
    return f"{shape[2]}x{shape[1]} pixels"
