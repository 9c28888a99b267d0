"""The report as one HTML page: nothing is loaded from elsewhere, and everything that came from a run is escaped."""

import base64
import os
import re
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from ssvae_cli.report.document import Document, Part
from ssvae_cli.report.runs import Run
from ssvae_cli.report.tables import WITHIN, Cell, Column, Table
from ssvae_cli.tracking.missing import DASH

Row = Iterable[tuple[str, object]]  # HTML of each cell, and what it is sorted by


def page(report: Document, svgs: dict[str, str], pictures_mb: float) -> str:
    """The page. svgs: of the pictures, by name. pictures_mb: how much of the runs' pictures it holds."""
    resources = files("ssvae_cli.report")
    style, script = ((resources / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    links = "".join(f'<li><a href="#{part.name}">{escape(part.section.title)}</a></li>' for part in report.parts)
    links += '<li><a href="#others">Runs that do not count</a></li>' if report.others else ""
    budget = Budget(pictures_mb * 1e6)
    body = [f"<h1>ssvae report</h1><nav aria-label='Sections'><ul>{links}</ul></nav>", what_ran(report)]
    body += [section(report, part, svgs, budget) for part in report.parts]
    body += [others(report)] if report.others else []
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ssvae report</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><style>{style}</style></head><body><main>{"".join(body)}</main>'
        f"<script>{script}</script></body></html>\n"
    )


def what_ran(report: Document) -> str:
    """The facts, and the whole configuration that all runs share, to be opened."""
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in report.facts)
    shared = [[(f"<code>{escape(key)}</code>", key), (escape(value), value)] for key, value in report.shared.items()]
    config = grid("shared", "The configuration that all runs share", ["key", "value"], shared, text=2)
    legend = "".join(f"<li>{escape(line)}</li>" for line in report.legend())
    details = f"<details><summary>Configuration that all runs share ({len(shared)} keys)</summary>{config}</details>"
    return f"<h2>What ran</h2><dl>{entries}</dl>{details}<h2>How to read the tables</h2><ul>{legend}</ul>"


def section(report: Document, part: Part, svgs: dict[str, str], budget: "Budget") -> str:
    """One section: its tables, figures, and runs."""
    note = f"<p>{escape(part.section.note)}</p>" if part.section.note else ""
    html = [f'<section id="{part.name}"><h2>{escape(part.section.title)}</h2>{note}']
    html += [table(f"{part.name}-{i}", part.section.title, each) for i, each in enumerate(part.tables)]
    html += [figure(picture.title, picture.alt, svgs[picture.name]) for picture in part.pictures]
    html.append(f"<h3>Runs</h3>{runs(report, part)}<h3>Pictures of the runs</h3>")
    for setting in part.section.settings:
        shown = "".join(pictures(report, setting.label, run, budget) for run in setting.runs)
        html.append(f"<details><summary>{escape(setting.label)}</summary>{shown}</details>")
    return "".join(html) + "</section>"


def table(name: str, title: str, of: Table) -> str:
    """A table of settings by metrics, with the reasons of what is missing."""
    rows = []
    for i, setting in enumerate(of.settings):
        seeds = len(setting.runs)
        first = [(breakable(setting.label), setting.label), (str(seeds), seeds)]
        rows.append([*first, *(cell(*pair) for pair in of.row(i))])
    headings = ["setting", "seeds", *(column.heading for column in of.columns)]
    notes = "".join(f"<li><b>{mark}</b> {escape(reason)}</li>" for mark, reason in of.notes.items())
    heading = f"<h3>{escape(of.title)}</h3>" if of.title else ""
    caption = f"{of.title or 'Settings'}: {title}"
    return heading + grid(name, caption, headings, rows, text=1) + (f'<ul class="notes">{notes}</ul>' if notes else "")


def breakable(label: str) -> str:
    """A setting's name, which a narrow column breaks after a key rather than within a word."""
    return escape(label).replace("=", "=<wbr>")


def cell(column: Column, cell: Cell) -> tuple[str, object]:
    """A metric's text and the number it is sorted by."""
    mean, spread = column.texts(cell)
    html = escape(f"{mean} ± {spread}" if spread else mean)
    html = f"<strong>{html}</strong>" if cell.is_best else html
    html += f'<abbr title="within noise of the best">{WITHIN}</abbr>' if cell.within else ""
    html += f" <small>({cell.count})</small>" if cell.count else ""
    return html + (f"<sup>{cell.mark}</sup>" if cell.mark else ""), cell.estimate.mean if cell.estimate else ""


def runs(report: Document, part: Part) -> str:
    """Every finished run of a section with its numbers."""
    columns = part.tables[0].columns
    rows = []
    for setting in part.section.settings:
        for run in setting.runs:
            numbers = [run.number(column.metric) for column in columns]
            values = [(DASH, "") if x is None else (f"{x:.{c.digits}f}", x) for x, c in zip(numbers, columns)]
            first = [(breakable(setting.label), setting.label), (str(run.seed), run.seed)]
            rows.append([*first, *values, (link(report, run.folder), str(run.folder))])
    headings = ["setting", "seed", *(column.metric for column in columns), "folder"]
    return grid(f"{part.name}-runs", f"Runs: {part.section.title}", headings, rows, text=1, ends_in_text=True)


def others(report: Document) -> str:
    """What failed, was stopped or repeated."""
    rows = []
    for other in report.others:
        remedy = f"<code>{escape(other.remedy)}</code>" if other.remedy else ""
        words = [(escape(word), word) for word in (other.state, other.reason)]
        rows.append([(link(report, other.folder), str(other.folder)), *words, (remedy, other.remedy)])
    headings = ["run", "state", "reason", "continues it"]
    table = grid("other-runs", "Runs that do not count", headings, rows, text=len(headings))
    return f'<section id="others"><h2>Runs that do not count</h2>{table}</section>'


def grid(
    name: str, caption: str, headings: list[str], rows: list[Row], *, text: int, ends_in_text: bool = False
) -> str:
    """A table that page.js makes sortable and filterable. text: how many of the first columns are not numbers."""
    words = {*range(text), *([len(headings) - 1] if ends_in_text else [])}
    kind = lambda i: ' class="text"' if i in words else ""
    head = "".join(f'<th scope="col"{kind(i)}>{escape(heading)}</th>' for i, heading in enumerate(headings))
    body = ""
    for row in rows:
        cells = [f'data-value="{escape(str(value))}"{kind(i)}>{html}' for i, (html, value) in enumerate(row)]
        body += f'<tr><th scope="row" {cells[0]}</th>{"".join(f"<td {cell}</td>" for cell in cells[1:])}</tr>'
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f'<table id="{name}" class="data"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(title: str, alt: str, svg: str) -> str:
    """An SVG in the text, in the colours of the page: black is that of the text, white lets the page through."""
    inline = re.sub(r"^.*?(?=<svg)", "", svg, flags=re.S)
    inline = re.sub(r"<metadata>.*?</metadata>", "", inline, flags=re.S)
    inline = inline.replace("#000000", "currentColor").replace("fill: #ffffff", "fill: none")
    inline = re.sub(r"<title>.*?</title>|(?<=<g) id=\"[^\"]*\"", "", inline, flags=re.S)
    inline = inline.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)
    scroll = f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(title)}">{inline}</div>'
    return f"<figure>{scroll}<figcaption>{escape(title)}</figcaption></figure>"


class Budget:
    """How many bytes of pictures the page may still hold."""

    def __init__(self, size: float):
        self._left = size

    def take(self, size: int) -> bool:
        """Whether so many bytes are left; they are then taken."""
        if fits := size <= self._left:
            self._left -= size
        return fits


def pictures(report: Document, label: str, run: Run, budget: Budget) -> str:
    """A run's pictures, inline as far as the budget goes, else as links."""
    html = [f"<h4>seed {run.seed}: {link(report, run.folder)}</h4>"]
    for path in run.pictures:
        alt, href = escape(f"{path.stem} of {label}, seed {run.seed}"), address(report, path)
        if budget.take(path.stat().st_size):
            data = base64.b64encode(path.read_bytes()).decode()
            inside = f'<img alt="{alt}" decoding="async" src="data:image/png;base64,{data}">'
        else:
            inside = f"{alt} (not in this page: pictures_mb)"
        html.append(f'<a class="picture" href="{href}">{inside}</a>')
    return "".join(html)


def address(report: Document, path: Path) -> str:
    """A path as a link from the report's folder, so that both may be moved together."""
    return escape(quote(os.path.relpath(path.absolute(), report.folder.absolute()), errors="surrogateescape"))


def link(report: Document, folder: Path) -> str:
    """A link to a folder; its name alone where it could not be made."""
    if not folder.is_dir():
        return escape(str(folder))
    return f'<a href="{address(report, folder)}/">{escape(str(folder))}</a>'
