"""Checkpoints that are kept besides the last: every so many epochs, and the best by a number of validation."""

import shutil
from collections.abc import Callable
from pathlib import Path

from ssvae_cli.files import atomic_write
from ssvae_cli.run_folder import CHECKPOINT

BEST = "best"


class KeptCheckpoints:
    """Copies of the last checkpoint. every: epochs between two, None for none. best: the number on validation, by whose
    highest value one is kept as best.pt, None for none."""

    def __init__(self, run: Path, *, every: int | None, best: str | None):
        self.run, self.every, self.best = run, every, best

    def look(self, epoch: int, history: Callable[[], list[dict]]) -> None:
        """`epoch` epochs are done and saved, at least one. history: gives the lines of metrics.jsonl."""
        if self.every is not None and epoch % self.every == 0:
            self._keep(f"epoch_{epoch}")
        if self.best is None:
            return
        *before, now = (line.get(self.best) for line in history())
        if now is not None and now > max((value for value in before if value is not None), default=-float("inf")):
            self._keep(BEST)

    def _keep(self, name: str) -> None:
        last = self.run / CHECKPOINT
        atomic_write(last.with_name(f"{name}.pt"), lambda path: shutil.copyfile(last, path))
