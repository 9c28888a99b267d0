"""A sweep loses nothing to one of its jobs.

1. A failing job leaves the others alone, its reason is in its folder and its traceback in its log; the end says which
   failed, with exit code 1.
2. sweep.resume=DIR runs what is missing and touches nothing else.
3. Jobs of one process leave no tensors to each other; several GPUs are used in turn.
4. The same holds under the launchers of Hydra, where they are installed, and a sweeper that searches gets a number.
5. The batch script of docs/sweeps.md saves, asks for the queue again and goes on to the end.
"""

import gc
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from helpers import PENALTY, TINY, refused, ssvae
from ssvae_cli import train
from ssvae_cli.cli import job, sweeps
from ssvae_cli.device import device_of
from ssvae_cli.errors import UserError
from ssvae_cli.run_folder import has_ended, holds_run, is_finished

SHORT = [*TINY[2:], "trainer.epochs=1", "dataset.limit=400"]
ONE = [*SHORT, "evaluation=none"]  # what a sweep does with its jobs is no question of their numbers
READ = [*SHORT, PENALTY]


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A sweep of three whose second job fails."""
    sweep = tmp_path_factory.mktemp("sweeps") / "sweep"
    assert ssvae("train", "-m", "optimizer.lr=0.001,-1,0.002", *ONE, f"hydra.sweep.dir={sweep}") == 1
    return sweep


@pytest.fixture
def sweep(half, tmp_path):
    return shutil.copytree(half, tmp_path / "sweep")


def folder_of(sweep, number):
    """The folder of a job, whose name begins with its number."""
    (folder,) = sweep.glob(f"{number} *")
    return folder


def summaries(sweep):
    """The numbers of the jobs that have ended."""
    return sorted(p.parent.name.split()[0] for p in sweep.glob("*/summary.json"))


def test_a_failing_job_leaves_the_others_alone_and_its_reason_in_its_folder(half):
    assert summaries(half) == ["0", "2"]
    assert "optimizer.lr must be above 0" in (folder_of(half, 1) / "failed.txt").read_text()
    assert [p.parent.name for p in half.glob("*/failed.txt")] == ["1 optimizer.lr=-1"]


def test_the_end_of_a_sweep_says_what_failed_and_how_to_go_on(tmp_path, capfd):
    sweep = tmp_path / "sweep"
    assert ssvae("train", "-m", "optimizer.lr=-1,-2", *ONE, f"hydra.sweep.dir={sweep}") == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ssvae: ")]
    assert len(lines) == 3
    assert f"{sweep}/0 optimizer.lr=-1 failed: UserError: optimizer.lr must be above 0, got -1" in lines[0]
    assert f"2 failed; ssvae train sweep.resume={sweep}" in lines[2]


def test_the_end_of_a_whole_sweep_names_what_to_do_next_and_resuming_it_says_that_nothing_was_missing(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(train, "train", lambda config, folder, choices: (folder / "summary.json").write_text("{}"))
    sweep = tmp_path / "sweep"
    for arguments, word in (
        (["-m", "seed=0,1", f"hydra.sweep.dir={sweep}"], "have ended"),
        ([f"sweep.resume={sweep}"], "had ended"),
    ):
        assert ssvae("train", *arguments) == 0
        last = capfd.readouterr().err.splitlines()[-1]
        assert last == f"ssvae: all jobs {word} (2); ssvae report runs={sweep} compares them"


@pytest.mark.parametrize("summary, finished", [("{}", True), ("", False), ('{"elbo/test": 1', False), (None, False)])
def test_a_job_has_ended_when_its_summary_is_complete(summary, finished, tmp_path):
    if summary is not None:
        (tmp_path / "summary.json").write_text(summary)
    assert is_finished(tmp_path) == finished
    assert has_ended(tmp_path, 0) == finished and not has_ended(tmp_path, 1)


def test_a_traceback_is_in_the_log_of_the_job_that_raised(tmp_path, monkeypatch):
    make = train.make_objective

    def broken(config, *shapes):
        if config.seed == 1:
            raise ZeroDivisionError("a fault")
        return make(config, *shapes)

    monkeypatch.setattr(train, "make_objective", broken)
    sweep = tmp_path / "sweep"
    assert ssvae("train", "-m", "seed=0,1,2", *ONE, f"hydra.sweep.dir={sweep}") == 1
    logs = {n: (folder_of(sweep, n) / "train.log").read_text() for n in range(3)}
    assert "Traceback" in logs[1] and "ZeroDivisionError: a fault" in logs[1]
    assert "Traceback" not in logs[0] + logs[2]
    assert summaries(sweep) == ["0", "2"]


def test_a_sweep_resumed_runs_what_is_missing_and_nothing_else(sweep, capfd):
    first, second, third = (folder_of(sweep, number) for number in range(3))
    (third / "summary.json").unlink()  # as if it had been killed in its last evaluation
    (third / "failed.txt").write_text("killed\n")
    shutil.rmtree(second)  # and this one before it began
    kept = {p: p.read_bytes() for p in first.rglob("*") if p.is_file() and p.suffix not in (".log", ".yaml")}
    trained = (third / "metrics.jsonl").read_bytes()
    assert ssvae("train", f"sweep.resume={sweep}") == 1  # the second is refused again
    assert {p: p.read_bytes() for p in kept} == kept
    assert summaries(sweep) == ["0", "2"] and not (third / "failed.txt").exists()
    assert (third / "metrics.jsonl").read_bytes() == trained
    assert "resumed" in (third / "train.log").read_text()


def test_the_same_sweep_may_be_given_again_and_another_one_is_refused(sweep, capfd):
    same = ["-m", "optimizer.lr=0.001,-1,0.002", f"sweep.resume={sweep}"]
    assert ssvae("train", *same) == 1
    said = refused(capfd, "train", *same, "seed=3")
    assert "seed=3 is not of that sweep, which is: optimizer.lr=0.001,-1,0.002" in said


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-m", "seed=0,1", "hydra.sweep.dir={sweep}"], "already holds a sweep"),
        (["sweep.resume=nowhere"], "no such folder"),
        (["sweep.resume={sweep}/0 optimizer.lr=0.001"], "not a sweep"),
        (["-m", "resume={sweep}/0 optimizer.lr=0.001"], "leave out -m"),
    ],
)
def test_what_a_sweep_refuses_is_a_line(arguments, words, half, capfd):
    assert words in refused(capfd, "train", *(a.format(sweep=half) for a in arguments))


def tensors():
    gc.collect()
    return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())


def test_jobs_of_one_process_leave_no_tensors_to_each_other(tmp_path, monkeypatch):
    counts = []
    clear = job.clear_memory
    monkeypatch.setattr(job, "clear_memory", lambda: (clear(), counts.append(tensors())))
    ssvae("train", "-m", "optimizer.lr=0.001,-1,0.001,0.001", *READ, f"hydra.sweep.dir={tmp_path}/sweep")
    assert len(counts) == 4 and counts[1] == counts[2] == counts[3]


@pytest.mark.parametrize("count, given", [(0, []), (1, []), (3, [0, 1, 2, 0, 1])])
def test_jobs_take_the_gpus_in_turn(count, given, monkeypatch):
    taken = []
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: taken[-1] if taken else 0)
    for number in range(5):
        sweeps.assign_gpu(number)
        chosen = torch.device("cuda", given[number] if given else 0)
        assert device_of("auto") == (chosen if count else torch.device("cpu"))
    assert taken == given


@pytest.mark.parametrize("rank, place", [("1", 1), ("x", 0), ("", 0), ("-1", 0), ("2", None)])
def test_each_process_of_torchrun_has_a_gpu_and_a_rank_that_is_no_number_is_not_its(rank, place, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    if place is not None:
        assert device_of("auto") == torch.device("cuda", place)
        return
    with pytest.raises(UserError, match="--nproc-per-node is above the 2 GPUs of this machine; allowed: 1 to 2"):
        device_of("cuda")


LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
    "ray": [
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.include_dashboard=false",
    ],
}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_under_a_launcher_a_failing_job_is_named_and_the_others_end(name, tmp_path, capfd):
    pytest.importorskip(f"hydra_plugins.hydra_{name}_launcher", reason=f"needs the extra ssvae[{name}]")
    pytest.importorskip(name)
    sweep = tmp_path / "sweep"
    code = ssvae("train", "-m", "optimizer.lr=0.001,-1", *ONE, *LAUNCHERS[name], f"hydra.sweep.dir={sweep}")
    err = capfd.readouterr().err
    assert code == 1, err
    assert summaries(sweep) == ["0"]
    assert "1 optimizer.lr=-1 failed: UserError: optimizer.lr must be above 0, got -1" in err
    assert ssvae("train", f"sweep.resume={sweep}", *LAUNCHERS[name]) == 1
    assert summaries(sweep) == ["0"]


def test_optuna_goes_by_the_probe_on_validation(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra ssvae[optuna]")
    pytest.importorskip("optuna")
    search = [
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=2",
        "hydra.sweeper.n_jobs=1",
        "hydra.sweeper.direction=maximize",
    ]
    sweep = tmp_path / "sweep"
    assert ssvae("train", "-m", *search, *READ, "optimizer.lr=interval(0.0001,0.01)", f"hydra.sweep.dir={sweep}") == 0
    best = OmegaConf.load(sweep / "optimization_results.yaml")
    assert best.best_value == max(sweeps.metric_of(folder_of(sweep, n), "probe/linear/validation") for n in (0, 1))


def test_a_search_by_a_number_that_no_run_has_is_refused_with_the_nearest(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "probe/linear/validation": 0.9}\n')
    with pytest.raises(UserError, match="sweep.metric=probe/linear/test: .* did you mean 'probe/linear/validation'"):
        sweeps.metric_of(tmp_path, "probe/linear/test")


def batch_script() -> str:
    """That of docs/sweeps.md, with a tiny run."""
    text = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text().split("## SLURM")[1]
    script = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    tiny = " ".join([*ONE, "trainer.epochs=60"])
    assert "prior=infonce trainer.epochs=1000" in script
    return script.replace("prior=infonce trainer.epochs=1000", tiny)


def test_the_batch_script_saves_asks_for_the_queue_and_goes_on(tmp_path):
    asked, run = tmp_path / "asked", tmp_path / "outputs" / "long"
    commands = {"ssvae": f'exec {sys.executable} -m ssvae_cli "$@"', "scontrol": f'echo "$@" >> {asked}'}
    for name, line in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}

    def job() -> subprocess.Popen:
        return subprocess.Popen(["bash", "-c", batch_script()], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)

    first = job()
    for _ in range(1000):
        if holds_run(run):
            break
        time.sleep(0.1)
    first.terminate()
    assert b"ssvae: stopped by SIGTERM; ssvae train resume=" in first.communicate(timeout=60)[1]
    assert asked.read_text() == "requeue 7\n" and not is_finished(run)
    job().communicate(timeout=120)
    assert asked.read_text() == "requeue 7\n" and is_finished(run)
