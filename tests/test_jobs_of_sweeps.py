"""What became of each job of a sweep is known, wherever its folder lies.

1. A sweep whose jobs failed exits with 1 and names them, whatever `hydra.sweep.subdir` is.
2. Jobs that would share a folder, and a sweep without a job, are refused before the first job.
3. By default a folder is named by the job's number and what varies in the sweep, in letters safe for any folder.
4. A sweep that is resumed changes nothing of a finished job, and is no part of its setting.
5. The closing hint is a command that works.
"""

import pytest
from omegaconf import OmegaConf

from helpers import refused, ssvae
from ssvae_cli import train
from ssvae_cli.cli.sweep_plan import job_name
from ssvae_cli.report.runs import find_runs
from ssvae_cli.report.settings import identity
from test_claims_of_folders import contents


@pytest.fixture
def quick(monkeypatch):
    """Jobs that end at once, and fail for a seed above 1."""

    def job(config, folder, choices):
        if config.seed > 1:
            raise ValueError(f"seed {config.seed}")
        (folder / "metrics.jsonl").write_text('{"epoch": 2, "elbo/train": 1.0}\n')
        (folder / "summary.json").write_text('{"elbo/test": 1.0}')

    monkeypatch.setattr(train, "train", job)


@pytest.mark.parametrize(
    "subdir",
    ["${ssvae.job_name:}", "${hydra.job.override_dirname}", "s${seed}", "x/y/${seed}/${hydra.job.num}"],
)
def test_every_failure_is_named_whatever_the_folders_of_the_jobs_are(quick, tmp_path, capfd, subdir):
    sweep = tmp_path / "sw"
    folders = [f"hydra.sweep.dir={sweep}", f"hydra.sweep.subdir={subdir}"]
    assert ssvae("train", "-m", "evaluation=none", "seed=1,2,3", *folders) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ssvae: ")]
    assert "seed 2" in lines[-3] and "seed 3" in lines[-2] and "2 failed; ssvae train sweep.resume=" in lines[-1]
    assert len(list(sweep.rglob("failed.txt"))) == 2 and len(list(sweep.rglob("summary.json"))) == 1


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["seed=0", "optimizer.lr=0.1,0.2", "hydra.sweep.subdir=s${seed}"], "share the folder"),
        (["seed=0,1", "hydra.sweep.subdir=."], "holds the sweep's own files"),
        (["seed=0", "hydra.sweep.subdir=../."], "holds the sweep's own files"),
        (["seed=0,1", "hydra.sweep.subdir=all"], "share the folder"),
        (["optimizer.lr=range(1,1)"], "without a job"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1],
)
def test_jobs_without_a_folder_each_are_refused_before_the_first(quick, tmp_path, capfd, arguments, word):
    assert word in refused(capfd, "train", "-m", *arguments, f"hydra.sweep.dir={tmp_path}/sw")
    assert not (tmp_path / "sw").exists()


NAMES = {
    "choices and numbers": ("prior=mi seed=1 optimizer.lr=-1e-3", "7 prior=mi seed=1 optimizer.lr=-1e-3"),
    "groups": ("prior/critic=rbf +metric@evaluation.metrics.a=b", "7 prior.critic=rbf +metric-evaluation.metrics.a=b"),
    "lists": ("encoder.projector=[64,32] encoder.frame.hidden=[]", "7 encoder.projector=64-32 encoder.frame.hidden="),
    "a path": (r"dataset.path='/data/a=(1),\'é${x}.npz'", "7 dataset.path=data-a-1-x-.npz"),
    "the end of a long path": (f"dataset.path=../{100 * 'b'}/c.npz", f"7 dataset.path={24 * 'b'}-c.npz"),
    "what the sweep shares is left out": ("dataset=npz dataset.limit=3 seed=0", "7 seed=0"),
    "nothing varies": ("dataset=npz", "7"),
    "no name is too long": (
        " ".join(f"{letter}={40 * '1'}" for letter in "abcdefgh"),
        " ".join(["7", *(f"{letter}={30 * '1'}" for letter in "abc"), f"d={17 * '1'}"]),
    ),
}


@pytest.mark.parametrize("overrides, name", NAMES.values(), ids=NAMES)
def test_a_jobs_folder_says_what_varies_in_the_sweep(overrides, name):
    shared = {"config": {"override_dirname": {"exclude_keys": ["dataset", "dataset.limit"]}}, "num": 7}
    config = OmegaConf.create({"hydra": {"job": shared, "overrides": {"task": overrides.split()}}})
    assert job_name(_root_=config) == name


def test_a_sweep_that_is_resumed_keeps_the_names_of_its_jobs(quick, tmp_path):
    sweep = tmp_path / "sw"
    whole = ["-m", "seed=0,1", "evaluation=none", f"hydra.sweep.dir={sweep}"]
    for arguments in (whole, [f"sweep.resume={sweep}"]):
        assert ssvae("train", *arguments) == 0
        assert {path.name for path in sweep.iterdir()} == {".jobs", "multirun.yaml", "0 seed=0", "1 seed=1"}
        (sweep / "0 seed=0" / "summary.json").unlink()


def test_a_sweep_that_is_resumed_leaves_finished_jobs_as_they_are_and_is_no_setting(quick, tmp_path):
    sweep = tmp_path / "sw"
    arguments = ["-m", "seed=0,1", "evaluation=none"]
    assert ssvae("train", *arguments, f"hydra.sweep.dir={sweep}", "hydra.sweep.subdir=a/${hydra.job.num}") == 0
    kept = contents(sweep / "a" / "0")
    (sweep / "a" / "1" / "summary.json").unlink()
    assert ssvae("train", f"sweep.resume={sweep}") == 0
    assert contents(sweep / "a" / "0") == kept and (sweep / "a" / "1" / "summary.json").exists()
    runs, others = find_runs([sweep])
    assert len(runs) == 2 and len({identity(run) for run in runs}) == 1 and others == []


@pytest.mark.parametrize(
    "config, said", [(b"trainer: {epochs: 99}\n", "trainer.epochs was 99, now 10"), (b"\xff", "config.yaml is damaged")]
)
def test_a_finished_job_of_another_configuration_is_named_and_left_as_it_is(quick, tmp_path, capfd, config, said):
    sweep = tmp_path / "sw"
    folders = [f"hydra.sweep.dir={sweep}", "hydra.sweep.subdir=${hydra.job.num}"]
    assert ssvae("train", "-m", "seed=0", "evaluation=none", *folders) == 0
    stored = sweep / "0" / ".hydra" / "config.yaml"
    before = stored.read_bytes()
    stored.write_bytes(config)
    kept = contents(sweep / "0")
    for _ in range(2):
        capfd.readouterr()
        assert ssvae("train", f"sweep.resume={sweep}") == 1
        assert said in capfd.readouterr().err and contents(sweep / "0") == kept
    stored.write_bytes(before)
    assert ssvae("train", f"sweep.resume={sweep}") == 0 and "all jobs have ended (1)" in capfd.readouterr().err


def test_the_hint_after_a_sweep_of_another_command_is_not_that_of_train(tmp_path, capfd):
    sweep = tmp_path / "sw"
    assert ssvae("mi", "-m", "data=a.npz,b.npz", f"hydra.sweep.dir={sweep}") == 1
    assert "resume" not in capfd.readouterr().err
    assert "sweep of ssvae mi" in refused(capfd, "train", f"sweep.resume={sweep}")
