"""A relative path of a run's data leads from the folder in which the run was started, wherever the run is read."""

import errno
import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from helpers import FILE_RUN, refused, ssvae
from ssvae_cli import run_folder
from ssvae_cli.cli.resume import data_overrides
from ssvae_cli.load_run import load_run
from ssvae_cli.run_folder import data_elsewhere


@pytest.fixture
def started(tmp_path, monkeypatch):
    """(run, its working folder, another one, in which the test then works): a run on dataset.path=x.npz."""
    here, there = tmp_path / "project", tmp_path / "other"
    here.mkdir(), there.mkdir()
    rng = np.random.default_rng(0)
    np.savez(here / "x.npz", x=rng.normal(size=(80, 4)), y=rng.integers(0, 2, 80))
    monkeypatch.chdir(here)
    words = ["dataset=npz", "dataset.path=x.npz", "evaluation=none", *FILE_RUN[:-1], "hydra.run.dir=run"]
    assert ssvae("train", *words) == 0
    monkeypatch.chdir(there)
    return here / "run", here, there


def test_a_run_is_read_and_gone_on_with_from_another_folder(started):
    run, here, there = started
    np.savez(there / "x.npz", x=np.ones((9, 4)))  # another file of that name
    assert ssvae("embed", str(run), "hydra.run.dir=out") == 0
    assert len(np.load("out/embeddings.npz")["row_train"]) > 9
    assert ssvae("finetune", str(run), "epochs=1") == 0
    for epochs in (2, 3):  # as its own overrides say afterwards
        assert ssvae("train", f"resume={run}", f"trainer.epochs={epochs}") == 0
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] == 3
    assert f"- dataset.path={here}/x.npz\n" in (run / ".hydra" / "overrides.yaml").read_text()


def test_a_folder_that_was_moved_with_its_data_is_read_from_where_it_is_now(started, monkeypatch):
    run, here, there = started
    shutil.move(here, there / "project")
    monkeypatch.chdir(there / "project")
    assert len(load_run("run", device="cpu", trust=False).data.train) > 9
    assert ssvae("train", "resume=run", "trainer.epochs=2") == 0


def test_data_that_were_moved_are_given_anew_and_are_the_same_ones(started, capfd):
    run, here, there = started
    shutil.move(here / "x.npz", there / "moved.npz")
    assert "dataset.path=x.npz: no such file" in refused(capfd, "embed", str(run))
    assert ssvae("train", f"resume={run}", "trainer.epochs=2", "dataset.path=moved.npz") == 0
    np.savez("fewer.npz", x=np.load("moved.npz")["x"][:50])
    capfd.readouterr()
    assert ssvae("train", f"resume={run}", "trainer.epochs=3", "dataset.path=fewer.npz") == 2
    assert "the data are not those that the run was started with" in capfd.readouterr().err


def test_a_run_whose_data_have_another_size_by_now_is_read_with_a_warning(started, caplog):
    run, here, there = started
    load_run(str(run), device="cpu", trust=False)
    assert "the data are not those" not in caplog.text
    np.savez(here / "x.npz", x=np.load(here / "x.npz")["x"][:50])
    load_run(str(run), device="cpu", trust=False)
    assert "the data are not those that the run was started with (train " in caplog.text


def test_data_of_the_same_size_with_other_values_or_labels_are_not_those_of_the_run(started, capfd, caplog):
    run, here, there = started
    stored = dict(np.load(here / "x.npz"))
    for changed in ({"x": stored["x"][::-1]}, {"y": 1 - stored["y"]}):
        np.savez("changed.npz", **stored | changed)
        refused_line = refused(capfd, "train", f"resume={run}", "trainer.epochs=2", "dataset.path=changed.npz")
        assert "the run was started with (as many, with other values in train" in refused_line
    rounded = stored["x"] * (1 + 1e-4 * np.sin(np.arange(stored["x"].size)).reshape(stored["x"].shape))
    np.savez(here / "x.npz", **stored | {"x": rounded.astype(np.float32)})  # as another processor generates them
    load_run(str(run), device="cpu", trust=False)
    assert "the data are not those" not in caplog.text


def test_a_run_that_does_not_go_on_keeps_its_records(started, monkeypatch, capfd):
    """Its configuration and what it ended with, TensorBoard's file among them, however late the refusal comes."""
    run, here, there = started
    files = lambda: [path for path in run.rglob("*") if path.is_file() and path.suffix != ".log"]
    records = lambda: {path: path.read_bytes() for path in files()}
    before = records()
    np.savez("fewer.npz", x=np.load(here / "x.npz")["x"][:50])
    refused(capfd, "train", f"resume={run}", "trainer.epochs=2", "dataset.path=fewer.npz")
    assert records() == before
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="a fault"):
        patched.setattr("ssvae_cli.train.Forward.__call__", Mock(side_effect=RuntimeError("a fault")))
        ssvae("train", f"resume={run}", "trainer.epochs=2")
    assert records() == before
    with monkeypatch.context() as patched:  # after the line of its epoch
        patched.setattr("ssvae_cli.train.TrainState.save", Mock(side_effect=OSError(errno.ENOSPC, "full")))
        assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 2
    assert records() == before
    assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 0
    assert records() != before and not (run / ".hydra" / "summary.json").exists()


def sweep_of(monkeypatch, here, there, *words, dataset="npz"):
    """A sweep on data of its working folder, of whose jobs one is missing; the test then works in another folder."""
    monkeypatch.chdir(here)
    tiny = ["evaluation=none", *FILE_RUN[:-1], "hydra.sweep.dir=sweep"]
    assert ssvae("train", "-m", f"dataset={dataset}", *words, *tiny) == 0
    monkeypatch.chdir(there)
    first, second = sorted(path.parent for path in (here / "sweep").glob("*/summary.json"))
    for path in (second / "summary.json", second / "metrics.jsonl", second / "checkpoints" / "last.pt"):
        path.unlink()
    return first, second


@pytest.mark.parametrize("of_file", [False, True], ids=["an override", "a file of the user's own"])
def test_a_sweep_is_completed_from_another_folder_on_the_data_of_the_first_start(started, monkeypatch, capfd, of_file):
    _, here, there = started
    words = ["dataset.path=x.npz", "seed=0,1"]
    if of_file:
        (here / "conf" / "dataset").mkdir(parents=True)
        (here / "conf" / "dataset" / "own.yaml").write_text("defaults: [npz, _self_]\npath: x.npz\n")
        words = ["--config-dir", "conf", "pairs=noise", "encoder=mlp", "seed=0,1"]
    _, second = sweep_of(monkeypatch, here, there, *words, dataset="own" if of_file else "npz")
    np.savez(there / "x.npz", x=np.ones((9, 4)))  # another file of that name
    names = sorted(path.name for path in (here / "sweep").glob("*/"))
    options = ["--config-dir=../project/conf"] if of_file else []
    for _ in range(2):  # from the sweep's own records, and from those that this leaves
        assert ssvae("train", *options, f"sweep.resume={here}/sweep") == 0
        assert f"ssvae: the sweep goes on in {here}, where it was started\n" in capfd.readouterr().err
        assert sorted(path.name for path in (here / "sweep").glob("*/")) == names
        (second / "summary.json").unlink()
    assert Path.cwd() == there and list(there.iterdir()) == [there / "x.npz"]
    assert len(load_run(str(second), device="cpu", trust=False).data.train) > 9


def test_a_sweep_whose_jobs_are_named_by_their_data_is_completed_from_another_folder(started, monkeypatch):
    _, here, there = started
    shutil.copy(here / "x.npz", here / "other.npz")
    _, second = sweep_of(monkeypatch, here, there, "dataset.path=x.npz,other.npz")
    assert ssvae("train", "sweep.resume=../project/sweep") == 0
    assert (second / "summary.json").exists() and len(list((here / "sweep").glob("*/.hydra"))) == 2


def test_a_missing_job_begins_from_the_run_that_its_relative_path_named(started, monkeypatch):
    _, here, there = started
    _, second = sweep_of(monkeypatch, here, there, "dataset.path=x.npz", "init_from=run", "seed=0,1")
    assert ssvae("train", f"sweep.resume={here}/sweep") == 0 and (second / "summary.json").exists()


def test_a_sweep_that_was_copied_with_its_data_goes_on_with_the_copies(started, monkeypatch):
    _, here, there = started
    sweep_of(monkeypatch, here, there, "dataset.path=x.npz", "seed=0,1")
    shutil.copytree(here, there / "project")
    (here / "x.npz").unlink()
    monkeypatch.chdir(there / "project")
    assert ssvae("train", "sweep.resume=sweep") == 0
    assert len(list((there / "project" / "sweep").glob("*/summary.json"))) == 2
    assert len(list((here / "sweep").glob("*/summary.json"))) == 1


DAMAGED = {
    "missing": None,
    "no text": b"\xff\xfe\x00",
    "no YAML": b"dataset: [",
    "a number": b"3",
    "a list": b"- dataset\n",
    "no data set": b"seed: 0\n",
    "a word for a data set": b"dataset: digits\n",
    "a reference to nothing": b"dataset: {path: '${nowhere}'}\n",
    "half a reference": b"dataset: {path: '${'}\n",
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_records_that_were_damaged_lead_to_no_data(damage, tmp_path):
    for name in ("config.yaml", "hydra.yaml"):
        (tmp_path / ".hydra").mkdir(exist_ok=True)
        if DAMAGED[damage] is not None:
            (tmp_path / ".hydra" / name).write_bytes(DAMAGED[damage])
    assert data_overrides(tmp_path) == [] and data_elsewhere(tmp_path, {"path": "x.npz"}) == {}


def test_a_fault_of_the_program_is_not_taken_for_a_damaged_record(started, monkeypatch):
    run, _, _ = started
    assert data_overrides(run) == [f"dataset.path={run.parent}/x.npz"]

    def faulty(*arguments):
        raise TypeError("a fault")

    for name in ("data_elsewhere", "recorded"):
        with monkeypatch.context() as patched, pytest.raises(TypeError, match="a fault"):
            patched.setattr(run_folder, name, faulty)
            data_overrides(run)
