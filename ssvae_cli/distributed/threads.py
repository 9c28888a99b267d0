"""The threads of a process: as many as the cores that it may use, asleep while they wait for one another.

Threads that spin while they wait hold a core that another program could use, and each waits for the one that is not
running. torch's OpenMP reads both settings when it is loaded, so that they are set before; what the user set stays."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ssvae_cli.distributed.launch import whole
from ssvae_cli.errors import counted

COUNT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # torch takes its number from either
WAIT = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SPINS = "1000"  # some microseconds, in which most waits of a small layer end; GNU's own default is 300,000


def set_wait() -> None:
    """Let the threads of this process and of those that it starts sleep while they wait, unless the user set that."""
    if "torch" not in sys.modules and not any(os.environ.get(name) for name in WAIT):
        os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": SPINS}


def set_count(allotted: int | None = None) -> None:
    """Set the number of threads of this process and of those that it starts, unless the user set it.

    allotted: the cores that a launcher gives this job. Once torch is loaded, nothing is set: it would not be read."""
    if "torch" not in sys.modules and not any(os.environ.get(name) for name in COUNT):
        os.environ["OMP_NUM_THREADS"] = str(min(own_cores(), allotted or sys.maxsize))


def described(count: int) -> str:
    """So many threads and how they wait, in words."""
    wait = next((f"{name}={os.environ[name]}" for name in WAIT if os.environ.get(name)), "wait policy not set")
    return f"{counted(count, 'thread')} ({wait})"


def own_cores() -> int:
    """The cores of this process: those that are usable, divided among the processes that torchrun starts here."""
    return max(1, usable_cores() // max(1, whole("LOCAL_WORLD_SIZE", 1)))


def usable_cores(root: Path = Path("/")) -> int:
    """The physical cores that this process may run on, by its affinity, and that its cgroups leave it; at least 1.

    A limit of 2.5 cores gives 2, as a third thread would be stopped while the others wait. root: of proc/ and sys/."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    topology = root / "sys/devices/system/cpu"
    physical = {_read(topology / f"cpu{n}/topology/thread_siblings_list") or str(n) for n in allowed}
    return max(1, int(min([len(physical), *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """The limits, in cores, that the cgroups of this process and those above them set; versions 1 and 2."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        for folder in (mount / group.lstrip("/"), *(mount / group.lstrip("/")).parents):
            if controllers:
                quota, period = (_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
            else:
                quota, _, period = _read(folder / "cpu.max").partition(" ")
            if quota.isdigit() and period.isdigit():  # else unlimited, written max or -1
                yield int(quota) / int(period)
            if folder == mount:
                break


def _read(file: Path) -> str:
    """The text of a small file of the system; empty where there is none."""
    try:
        return file.read_text("utf-8").strip()
    except OSError:
        return ""
