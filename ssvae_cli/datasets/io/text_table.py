"""Tables in text: the separator, the decimal sign, the names of the columns and an index are found."""

import re
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ssvae_cli.errors import require

if TYPE_CHECKING:
    from pandas import DataFrame

UNNAMED = re.compile(r"Unnamed: \d+")  # what pandas calls a column without a name


def read_text(file: Path, separator: str) -> "tuple[DataFrame, list[str]]":
    """(The table; notes). The first line names the columns, unless all of it is numbers.

    Semicolons separate a .csv of commas whose first two lines have equally many; numbers may then have a decimal comma.
    An index, and a separator at the end of each line, are no columns. Raises UserError, and pandas's exceptions."""
    import pandas

    separator = ";" if separator == "," and _has_semicolons(file) else separator
    read = {sign: partial(pandas.read_csv, file, sep=separator, decimal=sign) for sign in (".,", ".")[separator != ";"]}
    frames = {sign: table() for sign, table in read.items()}
    sign = max(frames, key=lambda sign: len(frames[sign].select_dtypes("number").columns))
    frame, notes = frames[sign], []
    if all(_number(str(name).replace(sign, ".")) for name in frame.columns if not UNNAMED.fullmatch(str(name))):
        frame = read[sign](header=None)
        notes.append(f"{file.name}: no line of names, so that the columns are called 0 to {len(frame.columns) - 1}")
        unnamed = frame.columns
    else:
        frame, index = _without_index(frame, file, read[sign])
        notes += [f"{file.name}: its first column has no name and is left out, as an index"] * index
        unnamed = [name for name in frame.columns if UNNAMED.fullmatch(str(name))]
    frame = frame.drop(columns=[name for name in unnamed if frame[name].isna().all()])
    return frame.set_axis(list(map(str, frame.columns)), axis=1), notes


def _has_semicolons(file: Path) -> bool:
    """Whether the first two lines have equally many semicolons."""
    import pandas

    lines = pandas.read_csv(file, sep="\x1f", header=None, nrows=2, dtype=str, quoting=3)[0]
    return lines.iloc[0].count(";") == lines.iloc[-1].count(";") > 0


def _without_index(frame: "DataFrame", file: Path, read: partial) -> "tuple[DataFrame, bool]":
    """(The table without its index, whether there was one). pandas takes for an index what stands before the columns
    where lines have more values than the first line has names."""
    import pandas

    if isinstance(frame.index, pandas.RangeIndex):
        index = frame.columns[0] == "Unnamed: 0"
        return frame.iloc[:, int(index) :], index
    if frame.index.nlevels == 1 and frame.iloc[:, -1].isna().all():  # a separator at the end of each line
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that values without a name are left out: they are empty
            return read(index_col=False), False
    values = len(frame.columns) + frame.index.nlevels
    require(frame.index.nlevels == 1, f"{file}: names in the first line: {len(frame.columns)}; values: {values}")
    return frame, True


def _number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
