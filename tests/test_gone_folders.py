"""A folder that is deleted, moved or replaced while a command writes to it.

1. The command ends with one line and exit code 1.
2. Nothing is made in its place, and nothing written into a folder that has its name by then.
3. A sweep whose folder is gone begins no further job; a job whose folder is gone fails, and the others run.
"""

import shutil

import pytest

from helpers import TINY, ssvae
from ssvae_cli.cli.claim import claim_new
from ssvae_cli.errors import FolderGone
from ssvae_cli.files import atomic_write
from ssvae_cli.mi import command
from ssvae_cli.tracking.record import Record
from ssvae_cli.training.state import TrainState
from test_claims_of_folders import contents

QUICK = [*TINY, "evaluation=quick"]


def delete(folder):
    shutil.rmtree(folder)


def move(folder):
    folder.rename(folder.with_name("moved"))


def replace(folder):
    """Another run begins in a folder of the same name."""
    delete(folder)
    for name in (".hydra/config.yaml", "train.log", "metrics.jsonl", "checkpoints/last.pt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("another's\n")


def once(monkeypatch, owner, method, folder, change):
    """Let `change` happen to the folder before the first call of a method."""
    original, changes = getattr(owner, method), [change]

    def changed(self, *arguments, **named):
        if changes:
            changes.pop()(folder)
        return original(self, *arguments, **named)

    monkeypatch.setattr(owner, method, changed)
    return changes


def the_line(capfd):
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith(("ssvae", "Traceback"))]
    return line


@pytest.mark.parametrize("change", (delete, move, replace), ids=lambda change: change.__name__)
@pytest.mark.parametrize("owner, method", [(Record, "__init__"), (TrainState, "end_epoch")], ids=["begins", "trains"])
def test_a_run_whose_folder_is_gone_ends_with_a_line_and_writes_nowhere(
    owner, method, change, tmp_path, capfd, monkeypatch
):
    run = tmp_path / "run"
    left = once(monkeypatch, owner, method, run, change)
    assert ssvae("train", *QUICK, f"hydra.run.dir={run}") == 1 and not left
    assert the_line(capfd).startswith(f"ssvae: the run's folder is gone: {run}")
    assert not run.exists() or set(contents(run).values()) == {b"another's\n"}
    assert run.exists() == (change is replace)


@pytest.mark.parametrize("change", (delete, replace), ids=lambda change: change.__name__)
def test_a_refused_command_removes_nothing_of_a_folder_that_has_the_name_of_its_own(change, tmp_path):
    claim = claim_new(tmp_path / "run", "hydra.run.dir")
    claim.store({"config.yaml": "a: 1\n"})
    change(claim.folder)
    before = contents(tmp_path)
    with pytest.raises(FolderGone):
        atomic_write(claim.folder / "checkpoints" / "last.pt", lambda path: path.write_text("mine\n"))
    claim.withdraw()
    assert contents(tmp_path) == before


def test_another_command_ends_with_the_same_line(tmp_path, capfd, monkeypatch):
    folder = tmp_path / "mi"
    monkeypatch.setattr(command, "introduce", lambda *arguments: delete(folder))
    assert ssvae("mi", f"hydra.run.dir={folder}") == 1
    assert the_line(capfd).startswith(f"ssvae: the run's folder is gone: {folder}")
    assert not folder.exists()


def test_a_sweep_whose_folder_is_gone_begins_no_further_job(tmp_path, capfd, monkeypatch):
    sweep = tmp_path / "sweep"
    left = once(monkeypatch, TrainState, "end_epoch", sweep, delete)
    assert ssvae("train", "-m", "seed=0,1", *QUICK, f"hydra.sweep.dir={sweep}") == 1 and not left
    assert the_line(capfd).startswith(f"ssvae: the run's folder is gone: {sweep}")
    assert not sweep.exists()


def test_a_job_whose_folder_is_gone_fails_and_the_others_run(tmp_path, capfd, monkeypatch):
    sweep = tmp_path / "sweep"
    left = once(monkeypatch, TrainState, "end_epoch", sweep / "0 seed=0", replace)
    assert ssvae("train", "-m", "seed=0,1", *QUICK, f"hydra.sweep.dir={sweep}") == 1 and not left
    assert "1 failed" in capfd.readouterr().err
    assert set(contents(sweep / "0 seed=0").values()) == {b"another's\n"}
    assert (sweep / "1 seed=1" / "summary.json").exists()
