"""The tables of a section, before they are written: cells with their estimate, the best, what is within noise of it."""

import math
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ssvae_cli.report.comparison import Estimate, is_within_noise
from ssvae_cli.report.settings import Section, Setting
from ssvae_cli.tracking.missing import DASH
from ssvae_cli.tracking.names import beginnings, is_own, unit
from ssvae_cli.tracking.tables import number

WITHIN = "†"  # stands after a number within noise of the best
HIGHEST, LOWEST = 1.0, -1.0  # which end of a metric is best, as a factor that makes it the highest
LEAST_DIGITS, MOST_DIGITS = 1, 4  # after the point


@dataclass(frozen=True)
class Cell:
    """One metric of one setting. within: of the best, None where nothing tells. mark: of the note on missing runs."""

    estimate: Estimate | None
    runs: int
    is_best: bool = False
    within: bool | None = None
    mark: str = ""

    @property
    def count(self) -> str:
        """'2 of 3' where runs lack the number, else ''."""
        return f"{self.estimate.count} of {self.runs}" if self.estimate and self.estimate.count < self.runs else ""


@dataclass(frozen=True)
class Column:
    """One metric. spread: what stands after ±. end: which is best, HIGHEST, LOWEST or None."""

    metric: str
    cells: tuple[Cell, ...]
    spread: str
    end: float | None

    @property
    def unit(self) -> str:
        return unit(self.metric)

    @property
    def arrow(self) -> str:
        """Which end is best."""
        return {HIGHEST: "↑", LOWEST: "↓"}.get(self.end, "")

    @property
    def heading(self) -> str:
        """`elbo/test ↑ (nats)`."""
        return " ".join(filter(None, [self.metric, self.arrow, f"({self.unit})" if self.unit else ""]))

    @property
    def digits(self) -> int:
        """Digits after the point: two of the smallest spread; four of the smallest mean where there is none."""
        known = [cell.estimate for cell in self.cells if cell.estimate]
        spreads = [size for e in known if (size := getattr(e, self.spread))]
        means = [abs(e.mean) for e in known if e.mean]
        digits = 1 - magnitude(min(spreads)) if spreads else 3 - magnitude(min(means, default=1.0))
        return min(MOST_DIGITS, max(LEAST_DIGITS, digits))

    def texts(self, cell: Cell) -> tuple[str, str]:
        """(mean, spread) of one of the cells, '' for a spread that is not known; a dash without an estimate."""
        if cell.estimate is None:
            return DASH, ""
        mean, spread = cell.estimate.mean, getattr(cell.estimate, self.spread)
        return number(mean, self.digits), "" if spread is None else number(spread, self.digits)


@dataclass(frozen=True)
class Table:
    """Settings by metrics. notes: mark -> why numbers are missing."""

    title: str
    settings: tuple[Setting, ...]
    columns: tuple[Column, ...]
    notes: dict[str, str]

    def row(self, i: int) -> list[tuple[Column, Cell]]:
        return [(column, column.cells[i]) for column in self.columns]


def magnitude(value: float) -> int:
    """The exponent of ten."""
    return math.floor(math.log10(abs(value)))


def end_of(metric: str, ends: Mapping[str, float]) -> float | None:
    """Which end of a metric is best, by the most specific entry, the metric or a group that it is in; None without. The
    standard error of one of ssvae's numbers is in no group: the highest is not the best."""
    is_error = metric.endswith("/error") and not is_own(metric)
    entries = [metric] if is_error else beginnings(metric)
    return next((ends[entry] for entry in entries if entry in ends), None)


def main_table(
    section: Section, metrics: list[str], *, spread: str, confidence: float, ends: Mapping[str, float]
) -> Table:
    """Some metrics of all settings. ends: metric or group of metrics -> which end is best."""
    ranked = {m: end_of(m, ends) for m in metrics if section.ranks(m)}
    notes = Notes()
    columns = [column(section.settings, m, notes, spread, confidence, ranked.get(m)) for m in metrics]
    return Table("", section.settings, tuple(columns), notes.texts())


def prior_table(section: Section, spread: str) -> Table | None:
    """What was learned of the priors, `prior/<name>`, and next to it what is true, `truth/<name>`; None without any."""
    keys = dict.fromkeys(key for run in section.runs for key in run.values if key.startswith("prior/"))
    metrics = [key for learned in keys for key in (learned, f"truth/{learned.partition('/')[2]}")]
    present = [m for m in metrics if any(run.number(m) is not None for run in section.runs)]
    learned = tuple(s for s in section.settings if any(s.of(m) for m in present if m.startswith("prior/")))
    notes = Notes()
    columns = tuple(column(learned, metric, notes, spread, 0.95, None) for metric in present)
    title = "Learned parameters of the priors, and the true ones"
    return Table(title, learned, columns, notes.texts()) if learned else None


class Notes:
    """Why numbers are missing: one mark for each reason."""

    def __init__(self):
        self._found: dict[str, list[str]] = {}

    def mark(self, setting: Setting, metric: str) -> str:
        """The marks of the reasons for which runs of a setting lack a metric; '' where none is recorded."""
        counts = Counter(run.reasons[metric] for run in setting.runs if metric in run.reasons)
        for reason, count in counts.items():
            self._found.setdefault(reason, []).append(
                f"{metric} of {setting.label}, {count} of {len(setting.runs)} runs"
            )
        order = list(self._found)
        return ",".join(letter(order.index(reason)) for reason in counts)

    def texts(self) -> dict[str, str]:
        return {letter(i): f"{reason} ({'; '.join(places)})" for i, (reason, places) in enumerate(self._found.items())}


def letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    first, last = divmod(number, 26)
    return (letter(first - 1) if first else "") + string.ascii_lowercase[last]


def column(
    settings: tuple[Setting, ...], metric: str, notes: Notes, spread: str, confidence: float, end: float | None
) -> Column:
    """A metric of all settings, compared with the best of them where one end is best and there are several."""
    values = [setting.by_seed(metric) for setting in settings]
    estimates = [setting.of(metric) for setting in settings]
    known = [e.mean for e in estimates if e]
    top = max(known, key=lambda mean: end * mean) if end and len(known) > 1 else None
    best = next((v for v, e in zip(values, estimates) if e and e.mean == top), None)
    cells = []
    for setting, value, e in zip(settings, values, estimates):
        is_best = top is not None and e is not None and e.mean == top
        within = is_within_noise(best, value, confidence) if top is not None and e and not is_best else None
        cells.append(Cell(e, len(setting.runs), is_best, within, notes.mark(setting, metric)))
    return Column(metric, tuple(cells), spread, end)
