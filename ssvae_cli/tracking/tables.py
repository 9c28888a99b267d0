"""Tables on standard output, whose numbers stay whole on a terminal of any width."""

import sys
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssvae_cli.tracking.missing import DASH, Missing

WIDE = 160  # columns where standard output is no terminal
GAP = 2  # columns between two of a table


def output() -> Console:
    """Standard output, as wide as the terminal."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def number(value: float | Missing | None, digits: int = 4) -> str:
    """A number for a table; a dash for one that is missing or does not apply."""
    if value is None or isinstance(value, Missing):
        return DASH
    return f"{round(value, digits) + 0.0:.{digits}f}" if isinstance(value, float) else str(value)  # no -0


def longest_word(text: str) -> int:
    """Its width, in columns."""
    return max(map(cell_len, text.split()), default=0)


def show(headings: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[str] = (), title: str = "") -> None:
    """Print a table; where the terminal is too narrow for it, each row as a block with a line for each cell.

    text: headings of columns that may be wrapped, to the left; the others hold numbers, whole and to the right. The
    first column names the row."""
    console = output()
    columns = list(zip(headings, *rows))
    least = [max(map(longest_word if c[0] in text else cell_len, c), default=0) for c in columns]
    table = Table(box=None, pad_edge=False, show_header=any(headings), title=title or None, title_justify="left")
    for i, (heading, width) in enumerate(zip(headings, least)):
        wrapped = heading in text
        side = "left" if wrapped or i == 0 else "right"
        table.add_column(Text(heading), justify=side, no_wrap=not wrapped, min_width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    if sum(least) + GAP * (len(columns) - 1) <= console.width:
        console.print(table)
        return
    if title:
        console.print(Text(title))
    for name, *cells in rows:
        console.print(Text(name), soft_wrap=True)
        for heading, cell in zip(headings[1:], cells):
            if cell.strip():
                console.print(Text(f"  {heading} {cell}" if heading else f"  {cell}"), soft_wrap=True)
