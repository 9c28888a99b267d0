"""Tables and bars keep their numbers whole on a terminal of any width; a log without one has a line a minute."""

import logging

import pytest
from rich.console import Console

from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.mi import report as mi_report
from ssvae_cli.mi.problem import Reading
from ssvae_cli.mi.recommend import Line, Recommended
from ssvae_cli.report.comparison import estimate
from ssvae_cli.report.tables import Cell, Column
from ssvae_cli.report.terminal import cell_text
from ssvae_cli.tracking import tables
from ssvae_cli.tracking.console import Display, closing_table, duration
from ssvae_cli.tracking.missing import Missing
from ssvae_cli.verify import command as verify
from ssvae_cli.verify.check import Check


def of_mi() -> None:
    lines = [Line("interpolated", "no bound", 1.098, Reading(Estimate(1.234, 0.567)), Estimate(0.891, 0.1))]
    mi_report.table(lines, Recommended(1.234, 0.123, 2.345, "a reason"), 4.321, "nats")


def of_report() -> None:
    cell = Cell(estimate([1.2345, 1.2365]), runs=2, is_best=True)
    text = cell_text(Column("elbo/test", (cell,), "deviation", None), cell)
    tables.show(("setting", "seeds", "elbo/test"), [("prior=infonce encoder=resnet18", "2", text)])


TABLES = {
    "train": (lambda: closing_table({"mi/infonce/ceiling/test": 5.9814, "kl/test": Missing("why")}), ["5.9814", "–"]),
    "mi": (of_mi, ["1.234", "0.567", "0.891", "0.123", "2.345", "4.321"]),
    "report": (of_report, ["1.2355", "0.0014"]),
    "verify": (lambda: verify.print_table([Check("(23) (30)", "I - KL is the limit", 0.7654, 0.7655)]), ["0.7654"]),
}


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_a_table_is_whole_at_any_width(name, columns, monkeypatch, capsys):
    monkeypatch.setattr(tables, "output", lambda: Console(width=columns, highlight=False))
    for module in (mi_report,):
        monkeypatch.setattr(module, "output", tables.output)
    show, numbers = TABLES[name]
    show()
    printed = capsys.readouterr().out
    assert "…" not in printed
    for number in numbers:
        assert number in printed, number


def test_a_check_that_is_not_finite_fails_with_a_dash_and_its_reason(capsys):
    check = Check("(30)", "broken", 1.0, float("nan"))
    assert not check.holds and check.verdict == "FAILS: it reads nan +- 0.0"
    verify.print_table([check])
    assert "–" in capsys.readouterr().out


def test_without_a_terminal_there_is_a_line_a_minute_and_a_last_one(caplog):
    now = [0.0]
    with caplog.at_level(logging.INFO), Display(10, 100, done=0, batch_size=32, clock=lambda: now[0]) as display:
        for _epoch in range(10):
            for _ in range(100):
                now[0] += 0.25  # 250 s in all
                display.step(1.5)
            display.epoch({"elbo/train": 1.5, "elbo/validation": 1.25})
    steps = [int(line.split()[1].split("/")[0]) for line in caplog.messages]
    assert steps == [240, 480, 720, 960, 1000]
    assert caplog.messages[0] == "step 240/1000  elbo 1.500  3:10 left  128 images/s  epoch 3/10  elbo/validation 1.250"


def test_a_bar_counts_steps_with_the_elbo_from_the_first_epoch_on(monkeypatch, capsys):
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    now = [0.0]
    with Display(2, 4, done=0, batch_size=8, clock=lambda: now[0]) as display:
        for _ in range(3):
            now[0] += 1.0
            display.step(0.5)
    printed = capsys.readouterr().err
    assert "step 3/8" in printed and "elbo 0.500" in printed and "0:05 left" in printed and "8 images/s" in printed


def test_the_speed_is_of_the_steps_after_the_first(monkeypatch, capsys):
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    now = [0.0]
    with Display(1, 10, done=0, batch_size=8, clock=lambda: now[0]) as display:
        now[0] += 60.0  # compiles
        display.first_step(60.0, compiled=True)
        display.step(0.5)
        now[0] += 1.0
        display.step(0.5)
    printed = capsys.readouterr().err
    assert "step 2/10" in printed and "0:08 left" in printed and "8 images/s" in printed


def test_a_duration_has_hours_only_where_there_are_some():
    assert [duration(s) for s in (5, 65, 3723)] == ["0:05", "1:05", "1:02:03"]
