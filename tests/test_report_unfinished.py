"""Runs that failed, were stopped, were damaged or are running: `ssvae report` lists each with its reason."""

import fcntl
import math
import os

import pytest
import yaml

from fake_runs import a_run
from ssvae_cli.report.runs import find_runs
from ssvae_cli.report.unfinished import is_of_train, planned, progress
from test_report import sections


def test_what_does_not_count_is_listed_with_its_reason(reported, capfd):
    _, others = sections(reported[0])
    said = {other.folder.name: (other.state, other.reason) for other in others}
    assert said == {
        "job": ("failed", "UserError: no | such\nfile_1"),
        "taken": ("failed", "UserError: taken is not empty"),
        "stopped": ("stopped", "after epoch 5 of 5"),
        "sweep": ("not begun", "job 2 (seed=2)"),
    }
    for name in ("report.html", "report.md"):
        text = (reported[1] / name).read_text()
        assert "after epoch 5 of 5" in text and "taken is not empty" in text and "job 2 (seed=2)" in text


def test_a_run_that_a_process_is_writing_is_running(tmp_path):
    a_run(tmp_path / "0", "prior=mi")
    run = a_run(tmp_path / "1", "prior=vmf")
    (run / "summary.json").unlink()
    lock = os.open(run, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    states = [other.state for other in find_runs([tmp_path])[1]]
    os.close(lock)
    assert states == ["running"] and [other.state for other in find_runs([tmp_path])[1]] == ["stopped"]


@pytest.mark.parametrize("content", ['{"broken": ', "[1]", "3"])
@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl", "reasons.json", ".hydra/config.yaml"])
def test_a_damaged_run_costs_the_report_nothing_but_itself(name, content, tmp_path):
    a_run(tmp_path / "0", "prior=mi")
    (a_run(tmp_path / "1", "prior=vmf") / name).write_text(content)
    runs, (other,) = find_runs([tmp_path])
    assert len(runs) == 1 and other.state == "unreadable" and other.reason.startswith(name.removeprefix(".hydra/"))


def test_numbers_that_have_no_mean_are_null_with_a_reason(tmp_path):
    odd = {"elbo/test": math.nan, "probe/linear/test": 1.7e308, "kl/test": -math.inf}
    a_run(tmp_path / "0", "seed=0", **odd)
    a_run(tmp_path / "1", "seed=1")
    (setting,) = sections(tmp_path)[0][0].settings
    assert [setting.of(metric).count for metric in ("elbo/test", "probe/linear/test")] == [1, 1]
    assert setting.runs[0].reasons.keys() == odd.keys()


def test_a_run_killed_in_the_middle_of_a_line_is_stopped(tmp_path):
    a_run(tmp_path / "0", "prior=mi")
    run = a_run(tmp_path / "1", "prior=vmf")
    (run / "summary.json").unlink()
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "elb')
    (other,) = find_runs([tmp_path])[1]
    assert (other.state, other.reason) == ("stopped", "after epoch 2 of 2")


def test_the_jobs_of_a_sweep_count_wherever_their_folders_lie(tmp_path):
    sweep = tmp_path / "sweep"
    (sweep / ".jobs").mkdir(parents=True)
    (sweep / "multirun.yaml").write_text('{"hydra": {"job": {"config_name": "train"}}}')
    for number, failed in enumerate(("null", "null", '"no"')):
        a_run(tmp_path / str(number), f"seed={number}")
        job = f'{{"number": {number}, "folder": "../{number}", "is_own": true, "failed": {failed}}}'
        (sweep / ".jobs" / f"{number}.json").write_text(job)
    (tmp_path / "2" / "summary.json").unlink()
    runs, (other,) = find_runs([sweep])
    assert [run.folder for run in runs] == [tmp_path / "0", tmp_path / "1"]
    assert (other.folder, other.reason) == (tmp_path / "2", "no")


def test_failures_of_other_commands_are_not_runs(tmp_path):
    a_run(tmp_path / "0", "prior=mi")
    sweep = tmp_path / "mi"
    (sweep / ".jobs").mkdir(parents=True)
    (sweep / ".jobs" / "0.json").write_text('{"number": 0, "folder": "0", "is_own": true, "failed": "no"}')
    (sweep / "multirun.yaml").write_text('{"hydra": {"job": {"config_name": "mi"}}}')
    (sweep / "0" / ".hydra").mkdir(parents=True)
    (sweep / "0" / ".hydra" / "hydra.yaml").write_text('{"hydra": {"job": {"config_name": "mi"}}}')
    (sweep / "0" / "failed.txt").write_text("no")
    assert find_runs([tmp_path])[1] == []


@pytest.mark.parametrize("log", ["train.log", "other.log"])  # the second by hydra.job.name
def test_a_run_that_failed_alone_is_told_by_its_log(log, tmp_path):
    a_run(tmp_path / "0", "prior=mi")
    run = a_run(tmp_path / "1", "prior=vmf")
    (run / "summary.json").unlink()
    (run / log).write_text("run: x\nTraceback (most recent call last):\n  File\nValueError: no\n")
    ((other,)) = find_runs([tmp_path])[1]
    assert (other.state, other.reason) == ("failed", "ValueError: no")
    with open(run / log, "a") as lines:
        lines.write("resumed x after epoch 1 and 0 steps of the next\nrun: x\ntensorboard --logdir x\n")
    ((other,)) = find_runs([tmp_path])[1]
    assert (other.state, other.reason) == ("stopped", "after epoch 2 of 2"), "it has gone on since"


DAMAGED = [
    None,
    b"",
    b"\xff\xfe\x00",
    b"hydra: [",
    b"3",
    b"- a\n",
    b"hydra: 3\n",
    b"hydra: {sweeper: 3, overrides: {task: 1}}\n",
]
SWEEPER = "hydra: {sweeper: {_target_: a.BasicSweeper, params: null}, overrides: {task: ['seed=0,1', 'TASK']}}\n"


@pytest.mark.parametrize(
    "content", [*DAMAGED, SWEEPER.replace("TASK", "prior=glob(*)"), SWEEPER.replace("TASK", "a=[")]
)
def test_records_that_cannot_be_read_leave_a_run_its_epoch_and_a_sweep_no_plan(content, tmp_path):
    files = [tmp_path / "multirun.yaml", tmp_path / ".hydra" / "config.yaml"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        if content is not None:
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert planned(tmp_path) == [] and is_of_train(files[0]) and progress(tmp_path) == "after epoch 0"
    files[0].write_text(SWEEPER.replace("TASK", "prior=mi"))
    assert planned(tmp_path) == [["seed=0"], ["seed=1"]]


def test_a_fault_of_the_program_is_not_taken_for_a_damaged_record(tmp_path, monkeypatch):
    (tmp_path / "multirun.yaml").write_text(SWEEPER)
    monkeypatch.setattr(yaml, "load", lambda *arguments: tmp_path.missing)
    for read in (planned, lambda folder: is_of_train(folder / "multirun.yaml")):
        with pytest.raises(AttributeError, match="missing"):
            read(tmp_path)
