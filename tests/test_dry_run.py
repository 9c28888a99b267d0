"""`sweep.dry_run=true` lists the jobs of a sweep, their folders and what is done; it starts and writes nothing."""

import shutil

import pytest

from helpers import refused, ssvae
from ssvae_cli import train
from test_jobs_of_sweeps import quick  # noqa: F401  jobs that end at once, and fail for a seed above 1


def listed(capfd) -> str:
    """Standard output, its spaces made single."""
    return " ".join(capfd.readouterr().out.split())


def test_jobs_and_folders_are_those_of_the_sweep_and_what_is_done_is_said(quick, tmp_path, capfd):  # noqa: F811
    sweep = tmp_path / "sweep"
    folders = [f"hydra.sweep.dir={sweep}", "hydra.sweep.subdir=s${seed}/${hydra.job.num}"]
    words = ["-m", "seed=1,2", "evaluation=none", *folders]
    assert ssvae("train", *words, "sweep.dry_run=true") == 0
    before = listed(capfd)
    assert not sweep.exists()
    assert ssvae("train", *words) == 1
    capfd.readouterr()
    folders = [sweep / "s1" / "0", sweep / "s2" / "1"]
    assert before == f"job what varies folder state 0 seed=1 {folders[0]} not begun 1 seed=2 {folders[1]} not begun"
    assert (folders[0] / "summary.json").exists() and (folders[1] / "failed.txt").exists()
    times = {path: path.stat().st_mtime_ns for path in sweep.rglob("*")}
    assert ssvae("train", f"sweep.resume={sweep}", "sweep.dry_run=true") == 0
    after = listed(capfd)
    assert f"0 seed=1 {folders[0]} finished" in after and f"{folders[1]} failed: ValueError: seed 2" in after
    assert {path: path.stat().st_mtime_ns for path in sweep.rglob("*")} == times


def test_a_job_whose_folder_is_gone_has_not_begun_and_a_job_of_another_number_is_refused(quick, tmp_path, capfd):  # noqa: F811
    sweep = tmp_path / "sweep"
    assert ssvae("train", "-m", "seed=0,1", "evaluation=none", f"hydra.sweep.dir={sweep}") == 0
    shutil.rmtree(sweep / "1 seed=1")
    capfd.readouterr()
    assert ssvae("train", f"sweep.resume={sweep}", "sweep.dry_run=true") == 0
    assert f"1 seed=1 {sweep / '1 seed=1'} not begun" in listed(capfd)
    settings = sweep / "multirun.yaml"
    settings.write_text(settings.read_text("utf-8").replace("seed=0,1", "seed=0,1,7"), "utf-8")
    assert ssvae("train", f"sweep.resume={sweep}", "sweep.dry_run=true") == 0
    settings.write_text(settings.read_text("utf-8").replace("seed=0,1,7", "seed=7,0"), "utf-8")
    said = refused(capfd, "train", f"sweep.resume={sweep}")
    assert "job 0 was 0 seed=0, and would be 0 seed=7 now" in said


@pytest.mark.parametrize(
    "words, said",
    [
        (["sweep.dry_run=true"], "lists the jobs of a sweep; give -m as well"),
        (["-m", "seed=0,1", "sweep.dry_run=perhaps"], "sweep.dry_run must be true or false, got 'perhaps'"),
        (["-m", "prior=infonce,nosuch", "sweep.dry_run=true"], "prior=nosuch"),
    ],
)
def test_what_cannot_be_listed_is_refused(words, said, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(train, "train", lambda *_: pytest.fail("a job was started"))
    monkeypatch.chdir(tmp_path)
    assert said in refused(capfd, "train", *words)
    assert not list(tmp_path.iterdir())
