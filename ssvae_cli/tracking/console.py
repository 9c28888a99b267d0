"""What a command shows while it runs and at its end: bars, plain lines, the closing table."""

import logging
import math
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ssvae_cli.distributed.launch import is_worker
from ssvae_cli.tracking.names import unit

log = logging.getLogger(__name__)


class Bar:
    """How far a command is: a bar with a note and the time left on a terminal, plain lines elsewhere."""

    def __init__(self, what: str, total: int, done: int = 0, *, ticking: bool = True):
        """what: what is counted. ticking: a thread updates the time left; it would disturb a benchmark."""
        console = Console(file=sys.stderr)
        self._what, self._total, self._bar = what, total, None
        if console.is_terminal and not is_worker():
            note = TextColumn("{task.fields[note]}")
            columns = [TextColumn(what), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), note]
            self._bar = Progress(*columns, console=console, auto_refresh=ticking)
            self._task = self._bar.add_task("", total=total, completed=done, note="")

    def __enter__(self):
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exception):
        if self._bar:
            self._bar.stop()

    def _draw(self, note: str, done: int | None = None) -> None:
        self._bar.update(self._task, completed=done, note=note, refresh=True)

    def _line(self, n: int, note: str) -> None:
        log.info("%s %d/%d  %s", self._what, n, self._total, note)


class Display(Bar):
    """Epochs, with the ELBO."""

    def __init__(self, total: int, done: int):
        super().__init__("epoch", total, done)

    def first_step(self, seconds: float, *, compiled: bool) -> None:
        """Show how long the first step took; it is long where it includes compilation."""
        note = f"first step after {seconds:.1f} s{', compilation included' if compiled else ''}"
        if self._bar:
            self._draw(note)
        elif compiled:
            log.info("%s", note)

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        """Show the end of an epoch, counted from 1."""
        names = ("elbo/train", "elbo/validation", "probe/linear/validation")
        shown = [f"{name} {values[name]:.3f}" for name in names if values.get(name) is not None]
        note = "  ".join(shown)
        if self._bar:
            self._draw(note, epoch)
        elif len(shown) > 1 or epoch == self._total:
            self._line(epoch, note)


class Stages(Bar):
    """The parts of a command, each shown as it begins."""

    def __init__(self, what: str, total: int):
        super().__init__(what, total, ticking=False)
        self._begun = 0

    def __exit__(self, kind, *exception):
        if self._bar and kind is None:
            self._draw("", self._begun)
        super().__exit__(kind, *exception)

    def begin(self, name: str) -> None:
        """Show the next part."""
        if self._bar:
            self._draw(name, self._begun)
        else:
            self._line(self._begun + 1, name)
        self._begun += 1


def closing_table(values: dict) -> None:
    """The summary's numbers as a table on standard output."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in values.items():
        if isinstance(value, (int, float)) and math.isfinite(value) and "/" in name:
            table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value), unit(name))
    Console(width=100 if not sys.stdout.isatty() else None).print(table)
