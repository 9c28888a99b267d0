"""Pictures of every mode that Pillow opens, as grey or colour of 8 bits: what a viewer shows."""

import numpy as np
from PIL import Image

PNG_LEVELS = {"L;2": 85, "L;4": 17}  # Pillow spreads pixels of 2 and 4 bits over 0 to 255, but not the transparent one
TWELVE_BITS = "I;12"  # of a TIFF; read as 16 bits, but not spread over them
WHITE_IS_ZERO, PHOTOMETRIC = 0, 262  # a TIFF's tag
UNMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}


def as_shown(image: Image.Image, stored: str, mode: str) -> Image.Image:
    """Any image as `mode`, L or RGB, transparent parts white. stored: `stored_mode(image)` before it was decoded.

    Pixels of 12 and 16 bits are scaled to 8. Those of 32 bits, integers or floats, have no fixed range: up to 1
    (floats), up to 255 and up to 65535 are each read as the whole range. Raises ValueError for others."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _scaled(image, stored)
    colour = image.info.get("transparency")
    if isinstance(colour, int) and stored in PNG_LEVELS:
        image.info["transparency"] = colour * PNG_LEVELS[stored]
    elif isinstance(colour, tuple) and stored == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    if image.mode in UNMULTIPLIED:
        image = image.convert(UNMULTIPLIED[image.mode])
    if image.mode == "LAB":  # Pillow knows no other way from it
        image = image.convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def stored_mode(image: Image.Image) -> str:
    """How a file stores its pixels, in Pillow's words, as long as it is not decoded: 'RGB;16B'."""
    tile = getattr(image, "tile", ())  # an image that was made in memory has none
    arguments = tile[0].args if tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _scaled(image: Image.Image, stored: str) -> Image.Image:
    """More than 8 bits to 8; a transparent value becomes white."""
    values = np.asarray(image).astype(np.float64)
    if stored.startswith(TWELVE_BITS):
        top = 2**12 - 1
    elif image.mode.startswith("I;16") or image.format in ("PNG", "PPM") and image.mode == "I":
        top = 2**16 - 1
    else:
        low, high = values.min(), values.max()
        tops = [top for top in ((1, 255, 65535) if image.mode == "F" else (255, 65535)) if 0 <= low and high <= top]
        if not tops:
            raise ValueError(f"pixels of mode {image.mode} from {low:g} to {high:g}; save it with 8 or 16 bits")
        top = tops[0]
    shown = np.floor(values * 255 / top + 0.5).astype(np.uint8)
    if image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        shown = 255 - shown
    if isinstance(transparent := image.info.get("transparency"), int):
        shown[values == transparent] = 255
    return Image.fromarray(shown)
