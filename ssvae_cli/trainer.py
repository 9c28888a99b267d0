"""How training runs: device, precision, epochs, batch size."""

from typing import Literal

from ssvae_cli.device import device_of
from ssvae_cli.errors import require


class Trainer:
    """Validated training options, and the device they come to on this machine."""

    def __init__(
        self,
        *,
        epochs: int,
        batch_size: int,
        microbatch: int | None,
        eval_every: int,
        device: str,
        precision: Literal["float32", "bf16", "auto"],
        compile: bool | Literal["reduce-overhead"],
    ):
        require(epochs >= 0, f"epochs must be at least 0, got {epochs}")
        require(batch_size >= 2, f"batch_size must be at least 2 (a pair needs a negative), got {batch_size}")
        whole = microbatch is None
        require(whole or microbatch >= 2, f"microbatch must be at least 2 or null, got {microbatch}")
        require(eval_every >= 1, f"eval_every must be at least 1, got {eval_every}")
        self.epochs, self.batch_size, self.eval_every = epochs, batch_size, eval_every
        self.device = device_of(device)
        self.precision, self.compile = precision, compile


