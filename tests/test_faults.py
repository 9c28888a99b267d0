"""Faults that happen to a run: numbers that are not finite, a disk that is full or read-only, a kill.

Each is a line, and leaves the last checkpoint whole. Of kills there are a few here; programs/kill_test.py does fifty.
"""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers import TINY, ssvae
from ssvae_cli.critics import Cosine
from ssvae_cli.encoders.posteriors import Delta, Deterministic
from ssvae_cli.encoders.pretrained import read_weights
from ssvae_cli.errors import UserError, first_line
from ssvae_cli.estimators import InfoNCE
from ssvae_cli.optimizers import Optimization
from ssvae_cli.pairs.augment import Augment
from ssvae_cli.run_folder import CHECKPOINT, CONFIG
from ssvae_cli.train import CHECK_EVERY
from ssvae_cli.training import checkpoint, portable
from ssvae_cli.training.nan_guard import TERMS

STEP = 4  # the second of the second epoch, counted from 1 on the command line


def at_step(function, spoil, calls):
    """`function`, its result spoilt from the calls-th call on, counted from 0."""
    count = iter(range(10**9))

    def spoilt(*args, **kwargs):
        value = function(*args, **kwargs)
        return spoil(value) if next(count) >= calls else value

    return spoilt


def nan_view(patch):
    made = lambda views: tuple(x * torch.nan for x in views)
    before = 2  # they are tried and drawn before training
    patch.setattr(Augment, "__call__", at_step(Augment.__call__, made, STEP + before))


def nan_posterior(patch):
    made = lambda posterior: Delta(posterior.mean * torch.nan)
    patch.setattr(Deterministic, "__call__", at_step(Deterministic.__call__, made, 2 * STEP))  # two a step


def nan_score(patch):
    tried = 1  # before training
    patch.setattr(Cosine, "forward", at_step(Cosine.forward, lambda table: table + torch.inf, STEP + tried))


def nan_partition(patch):
    patch.setattr(InfoNCE, "forward", at_step(InfoNCE.forward, lambda value: value - torch.inf, 2 * STEP))  # both ways


def nan_gradient(patch):
    step = Optimization.step

    def poisoned(self, at):
        if at >= STEP:
            self.parameters[0].grad[0] = torch.nan
        return step(self, at)

    patch.setattr(Optimization, "step", poisoned)


@pytest.mark.parametrize("spoil", [nan_view, nan_posterior, nan_score, nan_partition, nan_gradient])
def test_a_number_that_is_not_finite_stops_at_its_step_and_names_the_term(spoil, tmp_path, monkeypatch, capfd):
    spoil(monkeypatch)
    run = tmp_path / "run"
    assert ssvae("train", *TINY, "trainer.eval_every=2", f"hydra.run.dir={run}") == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    term = spoil.__name__.removeprefix("nan_")
    assert f"stopped at step {STEP + 1} (epoch 2), where {TERMS[term]}" in line
    assert str(run / CHECKPOINT) in line
    state = checkpoint.load(run)
    assert (state["epoch"], state["step"]) == (1, 0)
    assert all(t.isfinite().all() for t in state["objective"].values())


def test_what_a_gpu_reads_after_the_last_step_alone_is_named_before_metrics_fail(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(CHECK_EVERY, "cpu", 100)  # as a GPU; an epoch has 3 steps
    nan_gradient(monkeypatch)
    assert ssvae("train", *TINY, f"hydra.run.dir={tmp_path}/run") == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert f"stopped at step {STEP + 1} (epoch 2), where the gradient" in line


@pytest.mark.parametrize("rate", ["1e9", "1e30"])
@pytest.mark.parametrize("prior", ["infonce", "gaussian", "linear_dynamics"])
def test_a_rate_that_diverges_is_a_line_and_no_traceback(prior, rate, tmp_path, capfd):
    """With an explicit prior a covariance has no Cholesky factor then."""
    assert ssvae("train", *TINY, f"prior={prior}", f"optimizer.lr={rate}", f"hydra.run.dir={tmp_path}/run") == 2
    err = capfd.readouterr().err
    assert "not finite" in err.strip().splitlines()[-1] and "Traceback" not in err


def test_an_evaluation_of_what_diverged_is_a_line_and_the_checkpoint_is_from_before(tmp_path, capfd):
    one = [*TINY, "trainer.epochs=1", "dataset.limit=400", "optimizer.lr=1e15"]  # its one step is its last
    assert ssvae("train", *one, f"hydra.run.dir={tmp_path}/run") == 2
    assert "training diverged" in capfd.readouterr().err.strip().splitlines()[-1]
    assert checkpoint.load(tmp_path / "run")["step"] == checkpoint.load(tmp_path / "run")["epoch"] == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before_it_whole(number, tmp_path, monkeypatch):
    first, second = (dict.fromkeys(checkpoint.READ, epoch) for epoch in (1, 2))
    checkpoint.save(tmp_path, first)

    def half(self, data):
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(UserError, match=f"{os.strerror(number)}.*the earlier file is intact"):
        checkpoint.save(tmp_path, second)
    assert checkpoint.load(tmp_path) == first
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["last.pt"]


@pytest.mark.parametrize(
    "error, kind, said",
    [
        (PermissionError(errno.EACCES, "Permission denied"), UserError, "cannot be read \\(Permission denied\\)"),
        (MemoryError(), MemoryError, None),
        (RuntimeError("[enforce fail] can't allocate memory: 9 bytes"), RuntimeError, "allocate memory"),
        (EOFError(), UserError, "damaged or cut short|hold no model|hold no weights|holds no weights"),
    ],
    ids=["permission", "memory", "torch's memory", "end"],
)
@pytest.mark.parametrize("of", ["checkpoint", "weights", "model"])
def test_a_file_that_is_whole_is_not_called_damaged(of, error, kind, said, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise error

    checkpoint.save(tmp_path, {"epoch": 1})
    (tmp_path / CONFIG).write_text('{"ssvae": {}, "config": {}}')
    read = {
        "checkpoint": lambda: checkpoint.load(tmp_path),
        "weights": lambda: read_weights(str(tmp_path / CHECKPOINT)),
        "model": lambda: portable.load(tmp_path),
    }
    monkeypatch.setattr(torch, "load", fails)
    monkeypatch.setattr(Path, "read_bytes", fails)
    with pytest.raises(kind, match=said):
        read[of]()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs takes root")
    yield disk
    close_logs()
    subprocess.run(["umount", "-l", disk], check=True)  # lazily: TensorBoard may still hold a file


def close_logs():
    """A log that is open keeps a disk from being remounted, and would be opened again after it is gone."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if type(h) is logging.FileHandler]:
        root.removeHandler(handler)
        handler.close()


def test_a_full_disk_ends_the_run_with_a_line_and_the_last_checkpoint_is_whole(small_disk, capfd):
    run = small_disk / "run"
    assert ssvae("train", *TINY, "trainer.epochs=1", f"hydra.run.dir={run}") == 0
    state = checkpoint.load(run)
    capfd.readouterr()
    room = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - 2**15)))
    assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 2
    err = capfd.readouterr().err.strip()
    assert "No space left on device" in err.splitlines()[-1] and "Traceback" not in err
    assert checkpoint.load(run)["epoch"] == state["epoch"] == 1
    assert not list(run.rglob("*.tmp"))


def test_a_read_only_folder_is_refused_with_a_line(small_disk, capfd):
    run = small_disk / "run"
    assert ssvae("train", *TINY, "trainer.epochs=1", f"hydra.run.dir={run}") == 0
    close_logs()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    capfd.readouterr()
    for arguments in ([f"resume={run}", "trainer.epochs=2"], [*TINY, f"hydra.run.dir={small_disk}/new"]):
        assert ssvae("train", *arguments) == 2
        err = capfd.readouterr().err.strip()
        assert "Read-only file system" in err and len(err.splitlines()) == 1
    assert checkpoint.load(run)["epoch"] == 1


def test_a_few_kills_of_every_kind_lose_nothing():
    script = Path(__file__).parent / "programs" / "kill_test.py"
    done = subprocess.run([sys.executable, script, "--kills", "5"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("said, line", [("one\ntwo", "one"), ("\n  two\n", "two"), ("", "EOFError")])
def test_of_another_programs_error_a_line_says_the_first_or_its_kind(said, line):
    assert first_line(EOFError(said)) == line
