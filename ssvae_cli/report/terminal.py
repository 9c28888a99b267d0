"""The tables of a report on standard output."""

import logging

from ssvae_cli.report.document import Document
from ssvae_cli.report.tables import WITHIN, Cell, Column
from ssvae_cli.tracking.missing import DASH
from ssvae_cli.tracking.tables import output, show

log = logging.getLogger(__name__)
BEST = "*"


def show_report(report: Document) -> None:
    """Print each table and how it is read; log the runs that do not count."""
    many = len(report.parts) > 1
    for part in report.parts:
        for table in part.tables:
            title = ": ".join(filter(None, [part.section.title if many or part.section.note else "", table.title]))
            headings = ("setting", "seeds", *(f"{column.metric} {column.arrow}".strip() for column in table.columns))
            rows = [
                (setting.label, str(len(setting.runs)), *(cell_text(*pair) for pair in table.row(i)))
                for i, setting in enumerate(table.settings)
            ]
            show(headings, rows, title=title)
            for mark, reason in table.notes.items():
                output().print(f"{DASH} {mark}: {reason}", markup=False)
        if part.section.note:
            output().print(f"{part.section.title}: {part.section.note}", markup=False)
    for line in report.legend():
        output().print(line.replace("In bold", f"{BEST}"), markup=False)
    for other in report.others:
        continues = f"; {other.remedy} continues it" if other.remedy else ""
        log.warning("%s: %s, and left out: %s%s", other.folder, other.state, " ".join(other.reason.split()), continues)


def cell_text(column: Column, cell: Cell) -> str:
    """`2.10 ± 0.10*`."""
    text = " ± ".join(filter(None, column.texts(cell))) + BEST * cell.is_best + WITHIN * bool(cell.within)
    text += f" ({cell.count})" if cell.count else ""
    return text + (f" {cell.mark}" if cell.mark else "")
