"""Empty figures, and lines of any number that colour, marker and dashes keep apart, whatever colours a reader sees."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe & Ito (2008), without their yellow, which is faint on white; black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "o^sDvPX<>*h"  # their number has no divisor in common with that of colours
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MARKERS_A_LINE = 8  # about so many points of a line have a marker
NARROWEST, RIM = 1.0, 0.9  # points: the width of the uppermost of nested lines, and how much wider each lower one is


def blank(figsize: tuple[float, float]) -> "Figure":
    """An empty figure, in inches. A command imports matplotlib here, at its end."""
    from matplotlib.figure import Figure

    return Figure(figsize=figsize, layout="constrained")


def style(number: int) -> dict:
    """Colour, marker and dashes of a line, different for each of the first 308 numbers."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number // len(MARKERS) % len(DASHES)],
    }


def draw(axis: "Axes", x, y, *, number: int, of: int, label: str, width: float = 1.4) -> "Line2D":
    """A line in its own style; its markers stand between those of the `of` others where they have many points."""
    step = max(1, len(x) // MARKERS_A_LINE)
    first = number * step // max(1, of) % step
    (line,) = axis.plot(x, y, label=label, lw=width, ms=width + 3, markevery=(first, step), **style(number))
    return line


def nested_widths(count: int) -> list[float]:
    """Widths of lines that are drawn one upon another, so that each shows as a rim even where all coincide."""
    return [NARROWEST + RIM * below for below in reversed(range(count))]
