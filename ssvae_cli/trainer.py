"""How training runs: device, precision, epochs, batch size."""

from dataclasses import dataclass
from typing import Literal

from ssvae_cli.device import device_of
from ssvae_cli.errors import require, require_at_least


@dataclass(kw_only=True)
class Trainer:
    """Validated training options; device becomes the one that it stands for on this machine."""

    epochs: int
    batch_size: int
    microbatch: int | None
    eval_every: int
    device: str
    precision: Literal["float32", "bf16", "auto"]
    compile: bool | Literal["reduce-overhead"]

    def __post_init__(self):
        require_at_least(0, epochs=self.epochs)
        require(self.batch_size >= 2, f"batch_size must be at least 2 (a pair needs a negative), got {self.batch_size}")
        whole = self.microbatch is None
        require(whole or self.microbatch >= 2, f"microbatch must be at least 2 or null, got {self.microbatch}")
        require_at_least(1, eval_every=self.eval_every)
        self.device = device_of(self.device)
