"""The processes that torchrun starts, as its variables say; besides rank zero they keep no files and print nothing."""

import atexit
import os
import shutil
import tempfile
import time

from ssvae_cli.errors import require


def whole(variable: str, otherwise: int) -> int:
    """The whole number that a variable of the environment holds; `otherwise` where it holds none."""
    value = os.environ.get(variable, "").strip()
    return int(value) if value.isdecimal() else otherwise


def processes() -> int:
    """How many processes there are: 1, unless WORLD_SIZE says otherwise. Raises UserError where it does, and what else
    torchrun sets is missing: it is of another program then."""
    count = whole("WORLD_SIZE", 1)
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    missing += ["RANK"] * (not 0 <= whole("RANK", -1) < count)
    remedy = "start them by torchrun, or unset WORLD_SIZE"
    fault = f"WORLD_SIZE={count} says that this is one of several processes, but {', '.join(missing)} of it"
    require(count <= 1 or not missing, f"{fault} {'is' if len(missing) == 1 else 'are'} not set; {remedy}")
    return max(1, count)


def is_worker() -> bool:
    """Whether this process is one of several, and not rank zero; works before torch is imported."""
    return whole("WORLD_SIZE", 1) > 1 and whole("RANK", 0) > 0


def worker_overrides(overrides: list[str]) -> list[str]:
    """Overrides that put a worker's files in a temporary folder. Raises UserError for a sweep in several processes."""
    if processes() > 1:
        require(not {"-m", "--multirun"} & set(overrides), "a sweep runs in one process: leave out -m, or torchrun")
    if not is_worker():
        return []
    folder = tempfile.mkdtemp(prefix="ssvae-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return [f"hydra.run.dir={folder}"]


def wait_for_rank_zero() -> None:
    """In a worker, wait: rank zero fails for the same reason, or has failed and left this process alone, and torchrun
    then ends it before it prints."""
    if is_worker():
        time.sleep(10)
