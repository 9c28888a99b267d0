"""Whether samples are held in memory or streamed."""

import logging
import os
from dataclasses import dataclass

from ssvae_cli.datasets.base import Split
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import require

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Storage:
    """What may be held in memory, in GiB, and how many processes read what is not; None: one a core."""

    memory_gb: float
    workers: int | None

    def __post_init__(self):
        require(self.memory_gb >= 0, f"memory_gb must be at least 0, got {self.memory_gb}")
        require(
            self.workers is None or self.workers >= 0, f"dataset.workers must be at least 0 or null, got {self.workers}"
        )

    @property
    def processes(self) -> int:
        return (os.cpu_count() or 2) if self.workers is None else self.workers

    def exceeded_by(self, need: int) -> bool:
        """Whether `need` bytes must be streamed. Raises UserError where holding them would end in being killed."""
        if need > self.memory_gb * 2**30:
            log.info("%.2f GiB exceed memory_gb=%g: they are streamed", need / 2**30, self.memory_gb)
            return True
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        require(
            need < there,
            f"the data take {need / 2**30:.1f} GiB, and this machine has {there / 2**30:.1f}; lower "
            "memory_gb, so that they are streamed",
        )
        return False

    def place(self, *splits: Streamed) -> list[Split | Streamed]:
        """These splits in memory, where they fit together, else as they are."""
        stream = self.exceeded_by(sum(split.bytes for split in splits))
        return [split if stream else split.held() for split in splits]
