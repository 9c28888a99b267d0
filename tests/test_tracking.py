"""The progress of a command: a bar on a terminal, elsewhere a plain line for each part."""

import io
import re
import warnings

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from ssvae_cli.tracking import console
from ssvae_cli.tracking.console import Stages
from ssvae_cli.tracking.png import png


@pytest.fixture
def terminal(monkeypatch):
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)


def stages(*names: str) -> None:
    with Stages("part", len(names)) as shown:
        for name in names:
            shown.begin(name)


def test_a_terminal_shows_the_part_at_hand_and_how_many_are_done(terminal, capsys):
    stages("sums", "curves")
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(r"part 0/2 .*sums", plain) and re.search(r"part 1/2 .*curves", plain) and "part 2/2" in plain


def test_a_bar_that_a_fault_ends_is_not_drawn_to_its_end(terminal, capsys):
    with pytest.raises(ZeroDivisionError), Stages("part", 1) as shown:
        shown.begin("sums")
        raise ZeroDivisionError
    assert "1/1" not in capsys.readouterr().err


def test_elsewhere_a_part_is_a_line(caplog, capsys):
    with caplog.at_level("INFO"):
        stages("sums", "curves")
    assert caplog.messages == ["part 1/2  sums", "part 2/2  curves"] and not capsys.readouterr().err


@pytest.mark.parametrize(
    "columns, shown", [(20, "step 20/360 elbo -1"), (40, "elbo -1.234  0:00 left"), (80, "images/s")]
)
def test_the_bar_shows_the_step_and_the_elbo_first_however_narrow_the_terminal_is(columns, shown, monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=columns)
    monkeypatch.setattr(console, "Console", lambda file: terminal)
    with console.Display(30, 12, done=0, batch_size=100) as display:
        for _ in range(20):
            display.step(-1.234)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "step 20/360" in text and shown in text


def test_a_class_whose_name_the_font_lacks_is_drawn_without_a_warning():
    figure = Figure()
    figure.suptitle("雪")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert png(figure).startswith(b"\x89PNG")
