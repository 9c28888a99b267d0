"""Tables on standard output, whose numbers stay whole on a terminal of any width."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ssvae_cli.tracking.missing import DASH, Missing

WIDE = 160  # columns where standard output is no terminal
LEAST_TEXT = 12  # columns of a text column that is wrapped


def output() -> Console:
    """Standard output, as wide as the terminal."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def number(value: float | Missing | None, digits: int = 4) -> str:
    """A number for a table; a dash for one that is missing or does not apply."""
    if value is None or isinstance(value, Missing):
        return DASH
    return f"{round(value, digits) + 0.0:.{digits}f}" if isinstance(value, float) else str(value)  # no -0


def show(headings: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[str] = (), title: str = "") -> None:
    """Print a table; where the terminal is too narrow for it, each row as a block with a line for each cell.

    text: headings of columns that may be wrapped, to the left; the others hold numbers, whole and to the right. The
    first column names the row."""
    console = output()
    table = Table(box=None, pad_edge=False, show_header=any(headings), title=title or None, title_justify="left")
    for i, heading in enumerate(headings):
        wrapped = heading in text
        options = {"min_width": min(LEAST_TEXT, max(len(row[i]) for row in rows))} if wrapped and rows else {}
        table.add_column(
            Text(heading), justify="left" if wrapped or i == 0 else "right", no_wrap=not wrapped, **options
        )
    for row in rows:
        table.add_row(*map(Text, row))
    unlimited = console.options.update(width=10_000)  # otherwise it is cut to the terminal's width
    if Measurement.get(console, unlimited, table).minimum <= console.width:
        console.print(table)
        return
    if title:
        console.print(Text(title))
    for name, *cells in rows:
        console.print(Text(name), soft_wrap=True)
        for heading, cell in zip(headings[1:], cells):
            if cell.strip():
                console.print(Text(f"  {heading} {cell}" if heading else f"  {cell}"), soft_wrap=True)
