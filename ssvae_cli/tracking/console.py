"""What a command shows while it runs and at its end: bars, plain lines, the closing table."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ssvae_cli.distributed.launch import is_worker
from ssvae_cli.tracking import tables
from ssvae_cli.tracking.missing import UNREAD, Missing
from ssvae_cli.tracking.names import unit

log = logging.getLogger(__name__)
LINE_EVERY = 60.0  # seconds between two lines where there is no terminal
NARROW = 60  # columns below which the bar itself is left out


_silent = ContextVar("silent", default=False)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Inside, neither bars nor tables are shown; warnings are."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


class Bar:
    """How far a command is: a bar with a note on a terminal, plain lines elsewhere."""

    def __init__(self, what: str, total: int, done: int = 0, *, ticking: bool = True):
        """what: what is counted. ticking: a thread redraws the bar; it would disturb a benchmark."""
        console = Console(file=sys.stderr)
        self._what, self._total, self._bar = what, total, None
        if console.is_terminal and not is_worker() and not _silent.get():
            text, note = "{task.fields[what]} {task.completed:.0f}/{task.total:.0f}", "{task.fields[note]}"
            wide = [TextColumn(text), BarColumn(20), TextColumn(note)]
            columns = wide if console.width >= NARROW else [TextColumn(f"{text} {note}")]  # one text, cut at its end
            self._bar = Progress(*columns, console=console, auto_refresh=ticking)
            self._task = self._bar.add_task("", total=total, completed=done, note="", what=what)

    def __enter__(self):
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *exception):
        if self._bar:
            self._bar.stop()

    def _draw(self, note: str, done: int, *, refresh: bool = True) -> None:
        self._bar.update(self._task, completed=done, note=note, refresh=refresh)

    def _line(self, n: int, note: str) -> None:
        log.info("%s %d/%d  %s", self._what, n, self._total, note)


class Display(Bar):
    """Training steps, what is maximised, images per second and the time left; without a terminal a line a minute."""

    def __init__(
        self,
        epochs: int,
        steps_per_epoch: int,
        *,
        done: int,
        batch_size: int,
        maximised: str = "elbo/train",
        clock: Callable[[], float] = time.monotonic,
    ):
        """done: steps, of an earlier process. maximised: the name of the number that is. clock: seconds."""
        super().__init__("step", epochs * steps_per_epoch, done)
        self._epochs, self._steps, self._batch_size, self._clock = epochs, max(1, steps_per_epoch), batch_size, clock
        self._done = self._before = done
        self._began = self._told = clock()
        self._maximised, self._value = maximised, None
        self._values: dict[str, float] = {}

    def first_step(self, seconds: float, *, compiled: bool) -> None:
        """Show how long the first step took; it is long where it includes compilation. The speed is of those after it,
        and `step` has not counted it yet."""
        if compiled:
            log.info("first step after %.1f s, compilation included", seconds)
        self._began, self._before = self._clock(), self._done + 1

    def step(self, value: float | None = None) -> None:
        """A step is done; value: the mean of the epoch so far, where it was read from the device."""
        self._done += 1
        self._value = self._value if value is None else value
        self._show()

    def epoch(self, values: dict[str, float | Missing | None]) -> None:
        """An epoch is done, with these numbers."""
        self._value = values[self._maximised]
        names = ("elbo/validation", "probe/linear/validation")
        self._values |= {name: values[name] for name in names if isinstance(values.get(name), float)}
        self._show(last=self._done >= self._total)

    def _show(self, last: bool = False) -> None:
        now = self._clock()
        if self._bar:
            self._draw(self._note(now), self._done, refresh=last)
        elif last or now - self._told >= LINE_EVERY:
            self._told = now
            self._line(self._done, self._note(now))

    def _note(self, now: float) -> str:
        """The epoch, what is maximised, the speed and the time left, the most wanted first."""
        parts = [] if self._value is None else [f"{self._maximised.split('/')[0]} {self._value:.3f}"]
        took, steps = now - self._began, self._done - self._before
        if steps > 0 and took > 0:
            if self._done < self._total:
                parts.append(f"{duration(took / steps * (self._total - self._done))} left")
            parts.append(f"{steps * self._batch_size / took:,.0f} images/s")
        parts.append(f"epoch {min(self._epochs, -(-self._done // self._steps))}/{self._epochs}")
        return "  ".join([*parts, *(f"{name} {value:.3f}" for name, value in self._values.items())])


def duration(seconds: float) -> str:
    """'1:02:03', or '2:03' below an hour."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


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
    """The summary's numbers as a table on standard output, a dash for those that are missing; those that were
    not read are left out."""
    if _silent.get():
        return
    shown = {k: v for k, v in values.items() if "/" in k and isinstance(v, (int, float, Missing)) and v != UNREAD}
    tables.show(("", "value", "unit"), [(k, tables.number(v), unit(k)) for k, v in shown.items()], text=("unit",))
