"""Image files, read as 8-bit pixels."""

import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps

from ssvae_cli.datasets.base import Shape
from ssvae_cli.datasets.io.archives import Member
from ssvae_cli.datasets.io.modes import as_shown, stored_mode
from ssvae_cli.errors import UserError, first_line, require

KINDS = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm")
KINDS += (".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # not EPS, which Pillow passes to a program
LARGEST_SIDE = 16384  # pixels; a larger image is a mistake or an attack
MODES = {1: "L", 3: "RGB"}
CHUNK = 64  # images per task of a thread: one by one, scheduling costs as much as decoding a small image
UNKNOWN = "cannot identify image file"  # Pillow's words; what follows them is the name, or an address in memory
T = TypeVar("T")
Image.preinit()  # before forking, so that not every process does it


class Unreadable(UserError):
    """A file that is damaged, cut short or no image."""


def require_size(**settings: int | str | None) -> None:
    """Raise UserError naming the first setting to which no image can be resized; auto and None are none."""
    for name, size in settings.items():
        valid = not isinstance(size, int) or 1 <= size <= LARGEST_SIDE
        require(valid, f"{name} must lie between 1 and {LARGEST_SIDE}, or be auto or null, got {size}")


def image_paths(folder: Path) -> tuple[list[Path], str]:
    """(every image below a folder, in order; a note on what else there is). Raises UserError where there is none.

    An image is a file that is named as one and not hidden, such as a Mac's ._x.jpg. Links to folders are followed, each
    folder being read once, by its own name before that of a link."""
    paths, others, entered = [], Counter(), set()
    folders, links = [folder], []
    while folders or links:
        here = (folders or links).pop()
        place = here.stat()
        if (place.st_dev, place.st_ino) in entered:
            continue
        entered.add((place.st_dev, place.st_ino))
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name, reverse=True)
        except PermissionError:
            raise UserError(f"{here}: no permission to read this folder") from None
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                others["hidden"] += 1
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(path)
            elif path.suffix.lower() in KINDS:
                paths.append(path)
            else:
                others[path.suffix.lower() or "no suffix"] += 1
    listed = ", ".join(f"{count} {kind}" for kind, count in others.most_common(10))
    there = f"; found: {listed}" if listed else ""
    require(paths != [], f"{folder}: no images; allowed: {', '.join(KINDS)}{there}")
    return sorted(paths), f"{folder}: left out as no images: {listed}" if listed else ""


@dataclass(frozen=True)
class Encoded:
    """An image file that is held in memory."""

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name


File = Path | Encoded | Member


def _open(file: File) -> Image.Image:
    return Image.open(file if isinstance(file, Path) else io.BytesIO(file.content), formats=FORMATS)


def read_image(file: File, size: tuple[int, int] | None, channels: Literal[1, 3]) -> np.ndarray:
    """The image as a viewer shows it, uint8 [C, H, W]: rotated by its EXIF orientation, transparent parts white.

    size: width and height; resized and cropped about the centre to fill them. Only the first of several frames is read.
    Raises Unreadable naming a file that is damaged, truncated or no image, or, under `refuse_bombs`, one with so many
    pixels that Pillow suspects an attack.
    """
    try:
        with _open(file) as image:
            stored = stored_mode(image)
            if size is not None:
                image.draft(None, (2 * size[0], 2 * size[1]))  # decode a JPEG no larger than needed
            ImageOps.exif_transpose(image, in_place=True)
            return _as_pixels(image, stored, size, channels)
    except MemoryError:  # no fault of the file, which on_error=skip would leave out
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a bad file
        of_system = error.strerror if isinstance(error, OSError) else None
        reason = of_system or re.sub(f"({UNKNOWN}).*", r"\1", first_line(error))
        raise Unreadable(f"{file}: cannot be read as an image ({reason})") from error


def pixels_of(image: Image.Image, size: tuple[int, int] | None, channels: Literal[1, 3]) -> np.ndarray:
    """As `read_image`, of an image that is open, and stays as it is. Raises ValueError for pixels without a range."""
    stored, turned = stored_mode(image), ImageOps.exif_transpose(image)
    turned.format, turned.tag_v2 = image.format, getattr(image, "tag_v2", {})  # what Pillow's copy leaves out
    return _as_pixels(turned, stored, size, channels)


def _as_pixels(image: Image.Image, stored: str, size: tuple[int, int] | None, channels: Literal[1, 3]) -> np.ndarray:
    image = as_shown(image, stored, MODES[channels])
    image.load()
    if size is not None and image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    if channels == 1:
        return np.asarray(image)[None]
    lines = np.frombuffer(image.tobytes("raw", "RGB;L"), np.uint8)  # each line's reds, greens, blues
    return lines.reshape(image.height, 3, image.width).transpose(1, 0, 2)


def size_of(file: File) -> tuple[int, int] | None:
    """(width, height) by the file's header, as a viewer shows it; None if it cannot be read."""
    try:
        with _open(file) as image:
            at_its_end = image.format == "PNG" and "exif" not in image.info  # there it would have to be decoded
            turned = not at_its_end and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return image.size[::-1] if turned else image.size
    except Exception:  # Pillow's decoders raise nearly anything on a bad file
        return None


def refuse_bombs() -> None:
    """Make Pillow's suspicion of an attack an error, which `read_image` reports."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class ImageFiles:
    """Files that are all read as uint8 of one shape (C, H, W). resize: those of another size are resized to it."""

    files: Sequence[File]
    shape: Shape
    resize: bool
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def place(self) -> str:
        """Where the files are."""
        first = self.files[0]
        return str(first.parent if isinstance(first, Path) else first.archive if isinstance(first, Member) else first)

    def rows(self, rows: Sequence[int]) -> "ImageFiles":
        return replace(self, files=[self.files[i] for i in rows])

    def pixels(self, row: int) -> np.ndarray:
        """One image. Raises Unreadable, and UserError for one of another shape."""
        file, (channels, height, width) = self.files[row], self.shape
        pixels = read_image(file, (width, height) if self.resize else None, channels)
        if pixels.shape != self.shape:
            ours, others = (f"{width}x{height} pixels" for _, height, width in (pixels.shape, self.shape))
            raise UserError(f"{file}: {ours}, but others are {others}; give size")
        return pixels

    def read(self, rows: Sequence[int], out: np.ndarray) -> None:
        """Those images into the first places of `out`; raises as `pixels`."""
        for place, row in zip(out, rows):
            place[:] = self.pixels(row)


def unreadable(sides: Sequence[ImageFiles], places: Sequence[np.ndarray | None]) -> dict[int, Unreadable]:
    """The errors of images or pairs that cannot be read, by row; the others are decoded into `places`, if not None."""
    errors = [_read(files, place) for files, place in zip(sides, places)]
    return {row: error for bad in errors[::-1] for row, error in bad.items()}


def refusal(bad: dict[int, Unreadable], total: int, part: str = "") -> UserError:
    """An error that names the first of the files that cannot be read, and counts them among `total` for a part."""
    of = f"{total} images for {part}" if part else f"{total} images"
    count = f"{len(bad)} of {of} cannot be read, the first: " if len(bad) > 1 else ""
    return UserError(f"{count}{bad[min(bad)]}; dataset.on_error=skip leaves out what cannot be read")


def sizes(files: Sequence[File], *, first: bool) -> list[tuple[int, int] | None]:
    """`size_of` of every file; first: of the first that can be read alone."""
    if first:
        with warnings.catch_warnings():
            refuse_bombs()
            return [next(filter(None, map(size_of, files)), None)]
    return [size for chunk in _in_threads(lambda rows: [size_of(files[i]) for i in rows], len(files)) for size in chunk]


def _read(files: ImageFiles, out: np.ndarray | None) -> dict[int, Unreadable]:
    """The errors of files that cannot be read, by row; the others are decoded straight into `out`, if not None."""

    def fill(rows: range) -> dict[int, Unreadable]:
        errors = {}
        for i in rows:
            try:
                pixels = files.pixels(i)
                if out is not None:
                    out[i] = pixels
            except Unreadable as error:
                errors[i] = error
        return errors

    return dict(item for chunk in _in_threads(fill, len(files)) for item in chunk.items())


def _in_threads(task: Callable[[range], T], count: int) -> list[T]:
    """task(rows) for all of `count` rows, in chunks: Pillow decodes without the interpreter's lock."""
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    # The filter is set here: in a thread it would apply to all of them.
    with ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2))) as pool, warnings.catch_warnings():
        refuse_bombs()
        return list(pool.map(task, chunks))
