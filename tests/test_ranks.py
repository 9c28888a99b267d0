"""Several processes, on gloo and the CPU.

1. The ELBO, every parameter's gradient and every buffer equal those of one process with the whole batch, also where the
   processes do not divide it; views and posterior samples included.
2. A run, also of two nodes, leaves one folder with one set of logs, goes on with another number of processes, and ends
   when one dies.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from helpers import TINY, ssvae
from programs.two_ranks import CASES, step
from ssvae_cli.cli import main
from ssvae_cli.distributed import batch_norm, collectives, launch
from ssvae_cli.errors import UserError
from ssvae_cli.training import signals

SMALL = [*TINY, "optimizer=sgd", "optimizer.lr=0.01"]  # Adam's first steps turn rounding into signs
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def torchrun(processes: int, *command: str, **options) -> subprocess.Popen:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen([*launcher, *map(str, command)], env=ONE_THREAD, text=True, **options)


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """{case: what programs/two_ranks.py saved of two processes}."""
    folder = tmp_path_factory.mktemp("ranks")
    assert torchrun(2, Path(__file__).parent / "programs" / "two_ranks.py", folder).wait(120) == 0
    return torch.load(folder / "2.pt")


OF_TORCHRUN = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


def process_with(monkeypatch, variables: dict) -> tuple[int, bool]:
    """(How many processes a process takes itself to be one of, whether it is a worker), with these variables alone."""
    for name in OF_TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return launch.processes(), launch.is_worker()


@pytest.mark.parametrize("variables", [{}, {"RANK": "1"}, {"RANK": "x"}, {"WORLD_SIZE": "1", "RANK": "0"}], ids=str)
def test_a_rank_of_another_program_makes_no_worker_whose_files_are_lost(variables, monkeypatch):
    assert process_with(monkeypatch, variables) == (1, False)
    assert launch.worker_overrides(["-m"]) == []


def test_one_of_several_processes_has_all_that_torchrun_sets_or_is_a_line(monkeypatch):
    assert process_with(monkeypatch, OF_TORCHRUN) == (2, True)
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        with pytest.raises(UserError, match=f"several processes, but {name} of it is not set; start them by torchrun"):
            process_with(monkeypatch, {key: value for key, value in OF_TORCHRUN.items() if key != name})


def after(seconds: float, number: int) -> None:
    """Send this process a signal."""
    threading.Timer(seconds, os.kill, (os.getpid(), number)).start()


def test_a_process_that_waits_for_the_others_hears_that_it_is_to_stop(monkeypatch):
    monkeypatch.setattr(collectives, "PATIENCE", timedelta(seconds=20))
    store = torch.distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    process_with(monkeypatch, OF_TORCHRUN | {"MASTER_PORT": str(store.port)})
    before = signal.signal(signal.SIGTERM, signals.Leave())
    try:
        after(0.3, signal.SIGTERM)
        began = time.monotonic()
        with pytest.raises(signals.Stopped):
            collectives.init_process_group(torch.device("cpu"))
        assert time.monotonic() - began < 5
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("fault", [UserError("as of rank zero"), RuntimeError("Connection closed by peer")], ids=str)
def test_a_worker_whose_rank_zero_has_failed_prints_nothing(fault, monkeypatch, capfd):
    def run(words):
        after(0.3, signal.SIGTERM)  # torchrun's, as rank zero has ended
        raise fault

    process_with(monkeypatch, OF_TORCHRUN)
    monkeypatch.setattr(main, "run", run)
    assert ssvae("train") == 143
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_is_stopped_with_rank_zero_blames_no_connection(monkeypatch):
    process_with(monkeypatch, OF_TORCHRUN)
    with pytest.raises(signals.Stopped), signals.SafePoint():
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("Connection closed by peer")  # rank zero has saved and left


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_give_the_elbo_the_gradients_and_the_buffers_of_one(case, steps):
    one, two = step(case), steps[case]
    assert one.keys() == two.keys() and len(one) > 20
    for name, expected in one.items():
        difference = (two[name].double() - expected.double()).norm()
        assert difference <= 1e-6 * expected.double().norm() + 1e-12, name


@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}], ids=str
)
def test_a_batch_norm_of_several_processes_is_torchs(options, monkeypatch):
    monkeypatch.setattr(batch_norm, "world_size", lambda: 2)
    monkeypatch.setattr(batch_norm, "current_shard", lambda: True)
    monkeypatch.setattr(batch_norm, "all_reduce_sum", lambda x: x)  # the other process has no rows
    torchs, ours = (torch.nn.BatchNorm2d(3, **options) for _ in range(2))
    batch_norm.synchronise_batch_norm(ours, torch.device("cpu"))
    for seed in range(3):
        x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
        assert type(ours) is not type(torchs) and torch.allclose(ours(x), torchs(x), atol=1e-5)
    for name, buffer in torchs.named_buffers():
        assert torch.allclose(ours.get_buffer(name), buffer, atol=1e-5), name


class Activated(torch.nn.BatchNorm2d):
    """As timm's BatchNormAct2d."""

    def forward(self, x):
        return super().forward(x).relu()


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_batch_norm_that_does_more_is_refused_and_not_replaced(device, monkeypatch):
    monkeypatch.setattr(batch_norm, "world_size", lambda: 2)
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3), Activated(3))
    with pytest.raises(
        UserError, match="1 is a Activated, a batch norm that does more than normalise.*another backbone"
    ):
        batch_norm.synchronise_batch_norm(network, torch.device(device))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run of two nodes, a process each, which meet at a rendezvous; each is the first of its node."""
    run = tmp_path_factory.mktemp("run") / "two"
    command = Path(__file__).with_name("helpers.py")  # `ssvae`, its fits short
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = f"localhost:{free.getsockname()[1]}"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", place, str(command)]
    launcher += ["train", *SMALL, f"hydra.run.dir={run}"]
    nodes = [subprocess.Popen(launcher, env=ONE_THREAD, cwd=run.parent) for _ in range(2)]
    assert [node.wait(120) for node in nodes] == [0, 0]
    return run


def metrics(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_leave_one_folder_with_one_set_of_logs_and_the_numbers_of_one(run, tmp_path):
    assert [p.name for p in run.parent.iterdir()] == ["two"]
    assert len(list(run.glob("events.out.tfevents.*"))) == 1 and (run / "summary.json").exists()
    assert ssvae("train", *SMALL, f"hydra.run.dir={tmp_path}/one") == 0
    both = metrics(run), metrics(tmp_path / "one")
    assert [line["epoch"] for line in both[0]] == [1, 2]
    two, one = (lines[0] for lines in both)  # in float32, whose rounding a training's steps magnify
    assert two["elbo/train"] == pytest.approx(one["elbo/train"], rel=1e-3)
    assert two["gradient/norm"] == pytest.approx(one["gradient/norm"], rel=1e-2)


def test_a_run_of_two_processes_goes_on_in_one(run):
    assert ssvae("train", f"resume={run}", "trainer.epochs=3") == 0
    assert [line["epoch"] for line in metrics(run)] == [1, 2, 3]


def test_a_run_goes_on_in_two_processes(run):
    done = len(metrics(run))
    launched = torchrun(2, "-m", "ssvae_cli", "train", f"resume={run}", f"trainer.epochs={done + 1}")
    assert launched.wait(timeout=120) == 0
    assert [line["epoch"] for line in metrics(run)] == list(range(1, done + 2))


def test_a_process_that_dies_ends_the_run_with_its_cause(tmp_path):
    tiny = [*SMALL, "trainer.epochs=2000", "trainer.eval_every=2000"]
    launched = torchrun(2, "-m", "ssvae_cli", "train", *tiny, f"hydra.run.dir={tmp_path}/run", stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoints" / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    workers = subprocess.check_output(["pgrep", "-P", str(launched.pid)], text=True).split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    _, said = launched.communicate(timeout=60)
    assert launched.returncode != 0 and "Signal 9 (SIGKILL)" in said


def test_a_sweep_of_several_processes_is_refused_in_one_line(tmp_path):
    launched = torchrun(2, "-m", "ssvae_cli", "train", "-m", "seed=0,1", cwd=tmp_path, stderr=subprocess.PIPE)
    _, said = launched.communicate(timeout=60)
    assert said.count("ssvae: a sweep runs in one process: leave out -m, or torchrun") == 1
    assert not list(tmp_path.iterdir())
