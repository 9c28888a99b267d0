"""A relative path of a run's data leads from the folder in which the run was started, wherever the run is read."""

import json
import shutil

import numpy as np
import pytest

from helpers import FILE_RUN, refused, ssvae
from ssvae_cli.load_run import load_run


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
