"""Processes that torchrun starts besides rank zero: they keep no files and print nothing."""

import atexit
import os
import shutil
import tempfile
import time

from ssvae_cli.errors import require


def is_worker() -> bool:
    """Whether this process is not rank zero; works before torch is imported."""
    return int(os.environ.get("RANK", "0")) > 0


def worker_overrides(overrides: list[str]) -> list[str]:
    """Overrides that put a worker's files in a temporary folder. Raises UserError for a sweep in several processes."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        require(not {"-m", "--multirun"} & set(overrides), "a sweep runs in one process: leave out -m, or torchrun")
    if not is_worker():
        return []
    folder = tempfile.mkdtemp(prefix="ssvae-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return [f"hydra.run.dir={folder}"]


def wait_for_rank_zero() -> None:
    """In a worker, wait: rank zero fails for the same reason, and torchrun then ends this process before it prints."""
    if is_worker():
        time.sleep(10)
