"""A command writes only into a folder of its own, and a refused one leaves everything as it was.

1. A folder that holds anything else is refused before anything is written, by every command and by sweeps.
2. Only what a refused command made itself is removed.
3. Two commands never share a folder: the second is refused, or takes another name where the time gave the first.
4. Hydra's settings that would lead files elsewhere work, or are refused in a line.
"""

import logging

import pytest
from omegaconf import OmegaConf

from helpers import TINY, refused, ssvae
from ssvae_cli import train
from ssvae_cli.cli import claim as claims
from ssvae_cli.cli.claim import claim_new, claim_timed, is_left_by
from ssvae_cli.errors import UserError

FOREIGN = {
    "train.log": "keep\n",
    ".hydra/config.yaml": "a: 1\n",
    ".hydra/overrides.yaml": "- a=1\n",
    "summary.json": '{"mine": 1}\n',
    "events.out.tfevents.999.other": "x\n",
    "multirun.yaml": "a: 1\n",
    "notes/today.txt": "keep\n",
}


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def mine(tmp_path):
    """A folder of the user's, whose files have the names of a run's."""
    for name, text in FOREIGN.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "mine"


COMMANDS = [
    ["train", *TINY],
    ["train", *TINY, "trainer.batch_size=99999"],
    ["verify"],
    ["bench"],
    ["mi", "data=nothing.npz"],
    ["report", "runs=."],
    ["eval", "run=nothing"],
    ["embed", "run=nothing"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda a: " ".join(a[:1] + a[5:]))
def test_a_folder_that_holds_anything_else_is_refused_and_left_as_it_is(mine, capfd, arguments):
    before = contents(mine)
    line = refused(capfd, *arguments, f"hydra.run.dir={mine}")
    assert "is not empty" in line and "give another folder" in line
    assert contents(mine) == before


@pytest.mark.parametrize("content", [b"", b"3", b"\xff\xfe\x00", b"a: [", b"- '${'\n"], ids=str)
def test_a_folder_with_records_that_cannot_be_read_is_anothers(tmp_path, content):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_bytes(content)
    assert not is_left_by("train", "train", ["seed=1"], tmp_path)
    (tmp_path / ".hydra" / "overrides.yaml").write_text("- seed=1\n")
    assert is_left_by("train", "train", ["seed=1"], tmp_path)
    for name in ("metrics.jsonl", "split.json", "mlflow_id.txt", "train.log"):  # of a kill before the first checkpoint
        (tmp_path / name).touch()
    assert is_left_by("train", "train", ["seed=1"], tmp_path)
    (tmp_path / "notes.txt").touch()
    assert not is_left_by("train", "train", ["seed=1"], tmp_path)


@pytest.mark.parametrize("arguments", [["train", "seed=0,1", *TINY], ["mi", "data=a.npz,b.npz"]], ids=lambda a: a[0])
def test_a_sweep_is_refused_where_anything_else_lies(mine, capfd, arguments):
    (mine / "multirun.yaml").unlink()  # with it, it would be another sweep
    before = contents(mine)
    assert "is not empty" in refused(capfd, arguments[0], "-m", *arguments[1:], f"hydra.sweep.dir={mine}")
    assert contents(mine) == before


def test_the_working_folder_is_no_run_folder_while_it_holds_anything(mine, capfd, monkeypatch):
    monkeypatch.chdir(mine)
    before = contents(mine)
    assert "is not empty" in refused(capfd, "train", *TINY, "hydra.run.dir=.")
    assert contents(mine) == before


def test_a_refused_command_removes_the_folders_that_it_made_and_no_other(tmp_path, capfd):
    (tmp_path / "there").mkdir()
    refused(capfd, "train", *TINY, "encoder.latent_dim=0", f"hydra.run.dir={tmp_path}/there/new/run")
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]
    (tmp_path / "empty").mkdir()
    refused(capfd, "train", *TINY, "encoder.latent_dim=0", f"hydra.run.dir={tmp_path}/empty")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "there"]


def test_what_is_logged_once_a_folder_is_withdrawn_goes_to_no_file_of_it(tmp_path):
    claim = claim_new(tmp_path / "run", "hydra.run.dir")
    late = logging.FileHandler(tmp_path / "run" / "train.log", delay=True)
    other = logging.FileHandler(tmp_path / "other.log", delay=True)
    logging.getLogger().addHandler(late), logging.getLogger().addHandler(other)
    try:
        claim.withdraw()
        assert late not in logging.getLogger().handlers and other in logging.getLogger().handlers
        assert not (tmp_path / "run").exists()
    finally:
        logging.getLogger().removeHandler(late), logging.getLogger().removeHandler(other)


def test_a_folder_is_claimed_by_one_command_at_a_time(tmp_path):
    first = claim_new(tmp_path / "run", "hydra.run.dir")
    with pytest.raises(UserError, match="in use by another process"):
        claim_new(tmp_path / "run", "hydra.run.dir")
    first.withdraw()
    assert not (tmp_path / "run").exists()


def test_two_runs_of_one_second_have_two_folders(tmp_path):
    names = [claim_timed(tmp_path / "12-00-00", "hydra.run.dir").folder.name for _ in range(3)]
    claims.close_locks()
    assert names == ["12-00-00", "12-00-00-1", "12-00-00-2"]


def test_what_another_process_put_into_a_folder_is_never_removed(tmp_path):
    claim = claim_new(tmp_path / "run", "hydra.run.dir")
    claim.store({"config.yaml": "a: 1\n"})
    (tmp_path / "run" / "theirs.txt").write_text("keep")
    claim.withdraw()
    assert (tmp_path / "run" / "theirs.txt").read_text() == "keep"


@pytest.mark.parametrize(
    "setting, word",
    [
        ("hydra.output_subdir=null", "hydra.output_subdir"),
        ("hydra.output_subdir=other", "hydra.output_subdir"),
        ("hydra.job.chdir=true", "hydra.job.chdir=true"),
        ("hydra.job.name=a/b", "hydra.job.name=a/b"),
        ("hydra.job_logging.handlers.file.filename=/nowhere/train.log", "/nowhere/train.log cannot be a log file"),
    ],
)
def test_settings_that_would_lead_files_elsewhere_are_a_line(tmp_path, capfd, setting, word):
    assert word in refused(capfd, "train", *TINY, setting, f"hydra.run.dir={tmp_path}/run")
    assert not (tmp_path / "run").exists()


def test_a_file_is_no_run_folder(tmp_path, capfd):
    (tmp_path / "f").write_text("keep")
    for folder in ("f", "f/run"):
        assert "hydra.run.dir=" in refused(capfd, "train", *TINY, f"hydra.run.dir={tmp_path}/{folder}")
    assert (tmp_path / "f").read_text() == "keep"


@pytest.mark.parametrize("logging_choice, logs", [("disabled", False), ("plain", True)])
def test_a_command_logs_to_its_folder_unless_its_log_is_disabled(tmp_path, monkeypatch, logging_choice, logs):
    def job(config, folder, choices):
        logging.getLogger("ssvae_cli").info("a line")
        (folder / "summary.json").write_text("{}")

    monkeypatch.setattr(train, "train", job)
    run = tmp_path / "run"
    assert ssvae("train", *TINY, f"hydra/job_logging={logging_choice}", f"hydra.run.dir={run}") == 0
    assert (run / "summary.json").exists() and (run / "train.log").exists() == logs
    assert OmegaConf.load(run / ".hydra" / "overrides.yaml")[0] == TINY[0]
