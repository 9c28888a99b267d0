"""The report in Markdown, with tables as GitHub reads them."""

import re
from collections.abc import Sequence

from ssvae_cli.report.document import Document
from ssvae_cli.report.tables import WITHIN, Cell, Column, Table

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!$])")


def escaped(text: str) -> str:
    """Text as it is, in one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown(report: Document) -> str:
    """The whole report."""
    ran = [["what ran", ""], *([name, escaped(text)] for name, text in report.facts)]
    lines = ["# ssvae report", "", *table(ran, right=False)]
    lines += ["", *(f"{escaped(line)}  " for line in report.legend())]
    for part in report.parts:
        lines += ["", f"## {escaped(part.section.title)}", ""]
        lines += [escaped(part.section.note), ""] if part.section.note else []
        for each in part.tables:
            lines += [f"### {each.title}", ""] if each.title else []
            lines += [*table(rows(each), right=True), ""]
            lines += [f"- {mark}: {escaped(reason)}" for mark, reason in each.notes.items()] + [""] * bool(each.notes)
        for picture in part.pictures:
            lines += [f"![{escaped(picture.alt)}](figures/{picture.name}.svg)", ""]
    if report.others:
        lines += ["", "## Runs that do not count", ""]
        others = [[escaped(str(other.folder)), other.state, escaped(other.reason)] for other in report.others]
        lines += table([["run", "state", "reason"], *others], right=False)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def rows(of: Table) -> list[list[str]]:
    """A table's heading and its rows."""
    heading = ["setting", "seeds", *(escaped(column.heading) for column in of.columns)]
    body = [
        [escaped(s.label), str(len(s.runs)), *(cell_text(*pair) for pair in of.row(i))]
        for i, s in enumerate(of.settings)
    ]
    return [heading, *body]


def cell_text(column: Column, cell: Cell) -> str:
    """`**2.10 ± 0.10**`."""
    text = " ± ".join(filter(None, column.texts(cell)))
    text = f"**{text}**" if cell.is_best else text
    text += WITHIN if cell.within else ""
    text += f" ({cell.count})" if cell.count else ""
    return text + (f" <sup>{cell.mark}</sup>" if cell.mark else "")


def table(lines: Sequence[Sequence[str]], *, right: bool) -> list[str]:
    """Lines of cells, the heading first. right: the columns after the first are numbers, and stand to the right."""
    heading, *body = lines
    rule = ["---:" if right and i else "---" for i in range(len(heading))]
    return [f"| {' | '.join(row)} |" for row in (heading, rule, *body)]
