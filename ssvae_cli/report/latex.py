"""The tables in LaTeX, to be \\input into a paper that loads booktabs."""

from ssvae_cli.report.document import Document
from ssvae_cli.report.tables import Cell, Column, Table
from ssvae_cli.tracking.missing import DASH

ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "|": r"\ensuremath{|}",
    '"': r"\char34{}", "'": r"\char39{}", "`": r"\char96{}", "[": "{[}", "]": "{]}", "*": r"\ensuremath{*}",
    "±": r"\ensuremath{\pm}", "–": r"\textendash{}", "↑": r"\ensuremath{\uparrow}", "↓": r"\ensuremath{\downarrow}",
    "†": r"\ensuremath{\dagger}",
}  # fmt: skip
GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi"
ESCAPES |= {letter: rf"\ensuremath{{\{name}}}" for letter, name in zip("αβγδεζηθικλμνξπρστυφχψ", GREEK.split())}


def escaped(text: str) -> str:
    """Text as it is: no character of it is a command, and none is unknown to an ordinary pdflatex."""
    return "".join(map(escaped_character, " ".join(text.split()))).replace("--", "-{}-").replace("--", "-{}-")


def escaped_character(character: str) -> str:
    """Latin letters as they are; a character that the usual fonts lack as its code."""
    if character in ESCAPES:
        return ESCAPES[character]
    if character.isascii() or (character.isalpha() and ord(character) < 0x180):
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"


def latex(report: Document) -> str:
    """A table environment for each table; what ran stands in comments."""
    comment = lambda text: "% " + " ".join(text.split())
    lines = [r"% \usepackage{booktabs}", *(comment(f"{name}: {text}") for name, text in report.facts)]
    legend = " ".join(map(escaped, report.legend()))
    for part in report.parts:
        for i, table in enumerate(part.tables):
            heading = ". ".join(filter(None, [part.section.title, table.title]))
            caption = f"{escaped(heading)}. {escaped(part.section.note)} {legend}"
            lines += ["", *environment(table, caption, f"{part.name}-{i}")]
    return "\n".join(lines) + "\n"


def environment(table: Table, caption: str, name: str) -> list[str]:
    """One table with its caption and notes."""
    heading = ["setting", "seeds", *(escaped(f"{column.metric} {column.arrow}") for column in table.columns)]
    units = ["", "", *(escaped(column.unit) for column in table.columns)]
    body = [
        [escaped(setting.label), str(len(setting.runs)), *(cell_text(*pair) for pair in table.row(i))]
        for i, setting in enumerate(table.settings)
    ]
    row = lambda cells: f"    {' & '.join(cells)} \\\\"
    notes = [rf"  \par\footnotesize $^{{{mark}}}$ {escaped(reason)}" for mark, reason in table.notes.items()]
    return [
        r"\begin{table}", r"  \centering", rf"  \caption{{{' '.join(caption.split())}}}", rf"  \label{{tab:{name}}}",
        rf"  \begin{{tabular}}{{lr{'r' * len(table.columns)}}}", r"    \toprule", row(heading),
        *([row(units)] if any(units) else []), r"    \midrule", *map(row, body), r"    \bottomrule", r"  \end{tabular}",
        *notes, r"\end{table}",
    ]  # fmt: skip


def cell_text(column: Column, cell: Cell) -> str:
    r"""`$\mathbf{2.10} \pm 0.10$`."""
    mean, spread = column.texts(cell)
    if mean == DASH:
        return "--" + (f"$^{{{cell.mark}}}$" if cell.mark else "")
    text = rf"\mathbf{{{mean}}}" if cell.is_best else mean
    text += rf" \pm {spread}" if spread else ""
    above = ",".join(filter(None, [r"\dagger" * bool(cell.within), rf"\mathrm{{{cell.mark}}}" * bool(cell.mark)]))
    return f"${text}{f'^{{{above}}}' if above else ''}$" + (f" ({cell.count})" if cell.count else "")
