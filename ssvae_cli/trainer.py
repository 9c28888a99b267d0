"""How training runs: device, precision, epochs, batch size."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ssvae_cli.compiler import require_compiler
from ssvae_cli.device import Precision, device_of
from ssvae_cli.errors import require, require_at_least


@dataclass(kw_only=True)
class Trainer:
    """Validated training options; device becomes the one that it stands for on this machine."""

    largest_auto: ClassVar[int] = 256  # pairs in a batch of which the user says nothing
    epochs: int
    batch_size: int | Literal["auto"]
    microbatch: int | None
    eval_every: int
    device: Literal["auto", "cpu", "cuda"]
    precision: Precision
    compile: bool | Literal["reduce-overhead"]
    ema: float | None = None
    checkpoint_every: int | None = None
    keep_best: str | None = None

    def __post_init__(self):
        require_at_least(0, epochs=self.epochs)
        given = self.batch_size != "auto"
        fault = f"batch_size must be at least 2 (a pair needs a negative) or auto, got {self.batch_size}"
        require(not given or self.batch_size >= 2, fault)
        whole = self.microbatch is None
        require(whole or self.microbatch >= 2, f"microbatch must be at least 2 or null, got {self.microbatch}")
        require_at_least(1, eval_every=self.eval_every)
        valid = self.ema is None or 0 <= self.ema < 1
        require(valid, f"ema, the decay of an average of the weights, must lie in [0, 1) or be null, got {self.ema}")
        if self.checkpoint_every is not None:
            require_at_least(1, checkpoint_every=self.checkpoint_every)
        self.device = device_of(self.device)
        if self.compile:
            require_compiler(self.compile, self.device)

    def batch_of(self, samples: int) -> int:
        """The pairs per step, over all processes; auto takes all of so many training samples, up to largest_auto."""
        require(samples >= 2, f"training needs at least 2 samples (a pair needs a negative), got {samples}")
        return min(self.largest_auto, samples) if self.batch_size == "auto" else self.batch_size

    def distinct_batch_of(self, samples: int, processes: int) -> int:
        """As `batch_of`, no sample twice and one for each process. Raises UserError where that is impossible."""
        size = self.batch_of(samples)
        require(size <= samples, f"trainer.batch_size must be at most the {samples} training samples, got {size}")
        require(size >= processes, f"trainer.batch_size must be at least the {processes} processes, got {size}")
        return size

    def notes(self, size: int, samples: int) -> list[str]:
        """What the log says of a batch of that size, where an epoch takes whole batches of so many training samples."""
        if self.batch_size == "auto" and size < self.largest_auto:
            return [f"trainer.batch_size=auto: {size}, all training samples, as they are below {self.largest_auto}"]
        out = samples % size
        fitting = samples // -(-samples // size)  # the largest batch of which an epoch has one more
        if 4 * out < samples or fitting < 2:
            return []
        said = f"trainer.batch_size={size}: an epoch leaves out {out} of {samples} training samples, others each time"
        return [f"{said}; {fitting} would leave out {samples % fitting}"]


@dataclass(kw_only=True)
class SmallBatches(Trainer):
    """As `Trainer`, and batch_size=auto takes 128 pairs at most."""

    largest_auto = 128
