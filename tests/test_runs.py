"""`ssvae runs` lists runs with settings, states and key figures, whatever their files hold, and writes nothing."""

import fcntl
import json
import os

import pytest

from fake_runs import a_run
from helpers import composed, refused, ssvae
from ssvae_cli.errors import UserError
from ssvae_cli.report.listing import list_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs that have finished, stopped, failed and run; one whose files are cut short."""
    root = tmp_path_factory.mktemp("runs")
    a_run(root / "a", "prior=mi", "seed=1", **{"elbo/test": 1.5})
    a_run(root / "b", "prior=vmf", **{"elbo/test": 2.5})
    for name in ("stopped", "failed", "running", "cut", "gone"):
        run = a_run(root / name, "prior=infonce", epochs=5)
        (run / ".hydra" / "overrides.yaml").write_text(f'["resume={name}", "prior=infonce", "hydra.run.dir={name}"]')
        (run / "summary.json").unlink()
    (root / "failed" / "failed.txt").write_text("UserError: no such file\n")
    for name in ("metrics.jsonl", ".hydra/overrides.yaml", ".hydra/config.yaml", ".hydra/hydra.yaml"):
        file = root / "cut" / name
        file.write_bytes(file.read_bytes()[:-9] + b"\xff\xfe")
    (root / "gone" / ".hydra" / "overrides.yaml").unlink()
    (a_run(root / "unreadable") / "summary.json").write_text('{"elbo/test": 1')
    return root


def listed(capfd, *words) -> list[dict]:
    capfd.readouterr()
    assert ssvae("runs", *map(str, words), "format=json") == 0
    return json.loads(capfd.readouterr().out)


def test_each_run_has_its_state_its_setting_and_its_numbers(folder, capfd):
    lock = os.open(folder / "running", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs = {os.path.basename(run["folder"]): run for run in listed(capfd, folder)}
    finally:
        os.close(lock)
    states = {"a": "finished", "b": "finished", "stopped": "stopped", "failed": "failed", "running": "running"}
    states |= {"cut": "stopped", "gone": "stopped", "unreadable": "unreadable"}
    assert {name: run["state"] for name, run in runs.items()} == states
    assert runs["a"]["setting"] == "prior=mi seed=1" and runs["a"]["values"]["elbo/test"] == 1.5
    assert runs["stopped"]["setting"] == "prior=infonce" and runs["stopped"]["epoch"] == 5
    assert runs["failed"]["reason"] == "UserError: no such file"
    assert runs["cut"]["epoch"] == 4, "the last line that is whole"
    assert runs["gone"]["setting"] is None, "not the defaults"


def test_a_job_that_was_refused_shows_what_its_sweep_varies_and_a_sweep_is_no_run(tmp_path, capfd):
    small = ("dataset.limit=50", "trainer.epochs=1", "evaluation=none", f"hydra.sweep.dir={tmp_path}")
    assert ssvae("train", "-m", "seed=0,1", "encoder.latent_dim=0", *small) == 1
    assert [run["setting"] for run in listed(capfd, tmp_path)] == ["seed=0", "seed=1"]
    given = a_run(tmp_path / json.loads((tmp_path / ".jobs" / "1.json").read_text())["folder"])
    for words in (["eval", f"run={tmp_path}"], ["embed", f"run={tmp_path}"], ["train", f"resume={tmp_path}"]):
        assert f"{words[1]}: a sweep; give one of its runs, as {given}" in refused(capfd, *words)
    assert f", or sweep.resume={tmp_path}" in refused(capfd, "train", f"resume={tmp_path}")


def test_they_are_sorted_and_those_without_the_number_are_last(folder, capfd):
    names = lambda *words: [os.path.basename(run["folder"]) for run in listed(capfd, folder, *words)]
    assert names("sort=elbo/test")[:2] == ["b", "a"] and names("sort=elbo/test", "reverse=true")[:2] == ["a", "b"]
    assert names("sort=folder") == sorted(names())


def test_the_table_shows_key_figures_or_those_asked_for_and_nothing_is_written(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert ssvae("runs", str(folder / "a"), str(folder / "failed"), "metrics=[elbo/test]") == 0
    heading, *rows = capfd.readouterr().out.splitlines()
    assert heading.split() == ["began", "epoch", "elbo/test", "state", "setting", "folder"]
    assert any("1.5000" in row and "finished" in row for row in rows)
    assert any("failed: UserError: no such file" in row and "–" in row for row in rows)
    assert not list(tmp_path.iterdir()) and before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_folder_without_a_run_is_an_empty_list(tmp_path, capfd):
    assert listed(capfd, tmp_path) == []
    assert ssvae("runs", str(tmp_path), "metrics=[kl/test]", "sort=kl/test") == 0


def test_a_number_that_no_run_has_read_may_be_asked_for_and_is_a_dash(folder, capfd):
    asked = "metrics=[kl/test]", "sort=kl/test"  # null in every summary
    assert ssvae("runs", str(folder / "a"), str(folder / "b"), *asked) == 0
    heading, *rows = capfd.readouterr().out.splitlines()
    assert "kl/test" in heading and all("–" in row for row in rows if "finished" in row)
    assert ssvae("runs", str(folder / "a")) == 0 and "kl/test" not in capfd.readouterr().out, "unless it is asked for"


@pytest.mark.parametrize(
    "words, said",
    [("metrics=[no/such]", "metrics: no run has no/such"), ("format=xml", "format=xml; allowed: json, table")],
)
def test_a_wrong_setting_is_named(folder, words, said):
    with pytest.raises(UserError, match=said):
        list_runs(composed(f"runs={folder}", words, command="runs"), folder, {})


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "runs=outputs: no such folder"),
        (["{folder}", "sort=elbo/tset"], "did you mean 'elbo/test'"),
        (["-m", "{folder}", "sort=began,folder"], "ssvae runs writes nothing, and has no sweep; leave out -m"),
    ],
)
def test_a_mistake_is_one_line(folder, words, said, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert said in refused(capfd, "runs", *(word.format(folder=folder) for word in words))
    assert not list(tmp_path.iterdir())
