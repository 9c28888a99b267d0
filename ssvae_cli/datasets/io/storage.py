"""Whether samples are read into memory or streamed."""

import logging
from dataclasses import dataclass

import torch

from ssvae_cli.datasets.base import Split
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.device import capacity
from ssvae_cli.distributed.threads import own_cores
from ssvae_cli.errors import require, require_at_least

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Storage:
    """memory_gb: the most read into memory, in GiB. workers: processes that stream larger data; None: one per core that
    this process may use."""

    memory_gb: float
    workers: int | None

    def __post_init__(self):
        require_at_least(0, memory_gb=self.memory_gb)
        require(self.workers is None or self.workers >= 0, f"workers must be at least 0 or null, got {self.workers}")

    @property
    def processes(self) -> int:
        return own_cores() if self.workers is None else self.workers

    def exceeded_by(self, size: int) -> bool:
        """Whether `size` bytes must be streamed. Raises UserError if they exceed the machine's memory."""
        gib, total = size / 2**30, capacity(torch.device("cpu")) / 2**30
        if gib > self.memory_gb:
            log.info("%.2f GiB exceed memory_gb=%g: they are streamed", gib, self.memory_gb)
            return True
        message = f"the data take {gib:.1f} GiB, and this machine has {total:.1f}; lower memory_gb to stream them"
        require(gib < total, message)
        return False

    def place(self, *splits: Streamed) -> list[Split | Streamed]:
        """These splits in memory if they fit together, else unchanged."""
        stream = self.exceeded_by(sum(split.bytes for split in splits))
        return [split if stream else split.held() for split in splits]
