"""The threads of a process: how many, and how they wait; the cores by affinity, physical cores and cgroups."""

import json
import os
import subprocess
import sys

import pytest
import torch

from helpers import ssvae
from ssvae_cli.datasets.io.storage import Storage
from ssvae_cli.distributed import threads

ALL = (*threads.COUNT, *threads.WAIT, "LOCAL_WORLD_SIZE")


@pytest.fixture
def environment(monkeypatch):
    """Without a setting of threads, in a process that has not loaded torch and may use four cores."""
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.delitem(sys.modules, "torch")
    return monkeypatch


@pytest.mark.parametrize(
    "given, allotted, count",
    [
        ({}, None, "4"),
        ({}, 2, "2"),
        ({}, 16, "4"),
        ({"LOCAL_WORLD_SIZE": "2"}, None, "2"),
        ({"LOCAL_WORLD_SIZE": "8"}, None, "1"),
        ({"LOCAL_WORLD_SIZE": "0"}, None, "4"),
        ({"OMP_NUM_THREADS": "3"}, 1, "3"),
        ({"MKL_NUM_THREADS": "3"}, 1, None),
    ],
)
def test_threads_share_the_cores_unless_the_user_set_their_number(environment, given, allotted, count):
    for name, value in given.items():
        environment.setenv(name, value)
    threads.set_count(allotted)
    assert os.environ.get("OMP_NUM_THREADS") == count


@pytest.mark.parametrize("processes, workers, count", [("1", None, 4), ("2", None, 2), ("8", None, 1), ("2", 3, 3)])
def test_a_stream_has_as_many_workers_as_the_process_has_cores(environment, processes, workers, count):
    environment.setenv("LOCAL_WORLD_SIZE", processes)
    assert Storage(4.0, workers).processes == count


@pytest.mark.parametrize("given", [{}, *({name: "1"} for name in threads.WAIT)])
def test_waiting_threads_sleep_unless_the_user_set_how_they_wait(environment, given):
    for name, value in given.items():
        environment.setenv(name, value)
    threads.set_wait()
    waits = {name: os.environ[name] for name in threads.WAIT if name in os.environ}
    assert waits == (given or {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": threads.SPINS})
    (first, value), *_ = waits.items()
    assert threads.described(2) == f"2 threads ({first}={value})"


def test_a_process_that_has_loaded_torch_keeps_its_environment(environment):
    environment.setitem(sys.modules, "torch", object())
    threads.set_wait()
    threads.set_count()
    assert not any(name in os.environ for name in ALL)
    assert threads.described(1) == "1 thread (wait policy not set)"


@pytest.mark.parametrize(
    "files, cores",
    [
        ({}, 4),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"}, 2),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "max 100000"}, 4),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "4:memory:/a\n3:cpu,cpuacct:/a", "sys/fs/cgroup/cpu,cpuacct/a": (200000, 100000)}, 2),
        ({"proc/self/cgroup": "3:cpu:/of/the/host", "sys/fs/cgroup/cpu": (100000, 100000)}, 1),
        ({"proc/self/cgroup": "3:cpu:/a", "sys/fs/cgroup/cpu/a": (-1, 100000)}, 4),
        ({f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n % 2},{n % 2 + 2}" for n in range(4)}, 2),
    ],
    ids=["no limit", "v2", "v2 above, unlimited", "v2 above", "half a core", "v1", "v1 in a container", "v1 unlimited",
         "two threads a core"],
)  # fmt: skip
def test_cores_are_those_that_affinity_and_cgroups_leave(files, cores, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    for name, content in files.items():
        if isinstance(content, tuple):
            quota, period = content
            written = {f"{name}/cpu.cfs_quota_us": quota, f"{name}/cpu.cfs_period_us": period}
        else:
            written = {name: content}
        for path, text in written.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(f"{text}\n")
    assert threads.usable_cores(tmp_path) == cores


PROGRAM = """
import json, os, sys
from ssvae_cli.cli import main
from ssvae_cli.distributed import threads
class Loaded(Exception): pass
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(json.dumps({n: os.environ.get(n) for n in (*threads.COUNT, *threads.WAIT)}))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Watch())
main.run(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["train", "train -m seed=0", "mi task=gaussian"])
def test_a_command_sets_its_threads_before_torch_is_loaded(command, tmp_path):
    bare = {name: value for name, value in os.environ.items() if name not in ALL}
    place = [f"hydra.{kind}.dir={tmp_path}/out" for kind in ("run", "sweep")]
    program = [sys.executable, "-c", PROGRAM, *command.split(), *place]
    said = subprocess.run(program, env=bare, capture_output=True, text=True, check=False)
    environment = json.loads(said.stdout.splitlines()[-1])
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE", said.stderr
    assert environment["OMP_NUM_THREADS"] == str(threads.usable_cores())


@pytest.mark.parametrize(
    "command",
    [
        "train trainer.epochs=1 trainer.device=cpu evaluation=none dataset.limit=200",
        "bench bench.rounds=1 bench.seconds=0.001 trainer.batch_size=32 trainer.device=cpu",
        "embed device=cpu",
    ],
    ids=lambda command: command.split()[0],
)
def test_a_command_says_its_device_and_threads(command, finished, tmp_path, capfd):
    name = command.split()[0]
    of = [f"run={finished}"] if name == "embed" else []
    assert ssvae(*command.split(), *of, f"hydra.run.dir={tmp_path}/out") == 0
    printed = capfd.readouterr()
    assert f"cpu, {threads.described(torch.get_num_threads())}" in printed.err + printed.out


def test_the_python_interface_sets_nothing():
    bare = {name: value for name, value in os.environ.items() if name not in ALL}
    program = "import os; before = dict(os.environ); import ssvae_cli; ssvae_cli.UserError; assert os.environ == before"
    subprocess.run([sys.executable, "-c", program], env=bare, check=True)
