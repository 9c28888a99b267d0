"""Processes that torchrun starts beside the first: they write nothing that lasts, and leave the talking to it."""

import atexit
import os
import shutil
import tempfile
import time

from ssvae_cli.errors import require


def is_worker() -> bool:
    """Whether this process is another than the first of a run."""
    return int(os.environ.get("RANK", "0")) > 0


def worker_overrides(overrides: list[str]) -> list[str]:
    """The overrides that put a follower's files out of the way. Raises UserError for a sweep of several processes."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        require(not {"-m", "--multirun"} & set(overrides), "a sweep runs in one process: leave out -m, or torchrun")
    if not is_worker():
        return []
    folder = tempfile.mkdtemp(prefix="ssvae-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return [f"hydra.run.dir={folder}"]


def wait_for_rank_zero() -> None:
    """Wait, in a follower: where the first fails for the same reason, torchrun ends this process before it speaks."""
    if is_worker():
        time.sleep(10)
