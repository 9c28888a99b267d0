"""How training runs: device, precision, epochs, batch size."""

import os
from typing import Literal

import torch

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
        require(epochs >= 0, f"trainer.epochs must be at least 0, got {epochs}")
        require(batch_size >= 2, f"trainer.batch_size must be at least 2 (a pair needs a negative), got {batch_size}")
        whole = microbatch is None
        require(whole or microbatch >= 2, f"trainer.microbatch must be at least 2 or null, got {microbatch}")
        require(eval_every >= 1, f"trainer.eval_every must be at least 1, got {eval_every}")
        self.epochs, self.batch_size, self.eval_every = epochs, batch_size, eval_every
        self.device = device_of(device, "trainer.device")
        self.precision, self.compile = precision, compile


def device_of(name: str, key: str) -> torch.device:
    """auto (a GPU where there is one), cpu or cuda, as torch knows it. Raises UserError for a GPU that is not there."""
    found = torch.cuda.is_available()
    require(name in ("auto", "cpu", "cuda"), f"{key} must be one of auto, cpu, cuda, got {name!r}")
    require(name != "cuda" or found, f"{key}=cuda, but no GPU was found; allowed here: auto, cpu")
    if not found or name == "cpu":
        return torch.device("cpu")
    place, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()  # torchrun's: a GPU a process
    require(place < gpus, f"--nproc-per-node is above the {gpus} GPUs of this machine; allowed: 1 to {gpus}")
    return torch.device("cuda", place)
