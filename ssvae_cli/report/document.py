"""A report before it is written in some format."""

from dataclasses import dataclass
from pathlib import Path

from ssvae_cli.report.figures import Picture
from ssvae_cli.report.settings import Section
from ssvae_cli.report.tables import WITHIN, Table
from ssvae_cli.report.unfinished import Unfinished

SAYS = {"deviation": "standard deviation", "standard_error": "standard error"}


@dataclass(frozen=True)
class Part:
    """A section with its tables and pictures. name: of its files and its anchor."""

    name: str
    section: Section
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Document:
    """What every format says. facts: (name, text) of what ran. shared: the configuration that all runs have."""

    folder: Path  # of the report
    facts: list[tuple[str, str]]
    parts: list[Part]
    others: list[Unfinished]
    shared: dict[str, str]
    spread: str
    confidence: float

    def legend(self) -> list[str]:
        """Sentences on how to read the tables."""
        columns = [column for part in self.parts for table in part.tables for column in table.columns]
        cells = [cell for column in columns for cell in column.cells]
        lines = [f"Mean ± {SAYS[self.spread]} over seeds; ELBO, I and KL in nats; – where a number does not apply."]
        if any(cell.is_best for cell in cells):
            lines.append("In bold the best of a column (↑ the highest, ↓ the lowest).")
        if any(cell.within is not None for cell in cells):
            test = f"two-sided t-test at {self.confidence:g}, paired over the seeds that both have"
            lines.append(f"{WITHIN} within noise of the best ({test}; Welch's where these are fewer than two).")
        compared = [cell for column in columns if any(c.is_best for c in column.cells) for cell in column.cells]
        if any(cell.within is None and cell.estimate and not cell.is_best for cell in compared):
            lines.append("Where a setting or the best has one seed, its noise is not known, and nothing is marked.")
        shown = [(part.section, column.metric) for part in self.parts for column in part.tables[0].columns]
        if biased := dict.fromkeys(metric for section, metric in shown if section.differs_in_bias(metric)):
            what = "is read by each setting's training estimator, with its bias: where these differ, it is not ranked"
            lines.extend(f"{metric} {what}." for metric in biased)
        return lines
