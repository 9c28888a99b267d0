"""Figures as PNG files."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ssvae_cli.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150


def png(figure: "Figure") -> bytes:
    """A figure as a PNG file has it, with a box for each sign that matplotlib's font lacks, as of a class named 雪.

    It is drawn once, where `savefig` draws twice if there is a layout to find."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(DPI)
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        FigureCanvasAgg(figure).print_png(drawn)
    return drawn.getvalue()


def save_png(figure: "Figure", path: Path) -> None:
    """Write a figure to `path`, atomically."""
    drawn = png(figure)
    atomic_write(path, lambda at: at.write_bytes(drawn))
