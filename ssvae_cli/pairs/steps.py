"""What pair generators of sequences share: where a window may begin, and whether the sequences are long enough."""

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import require
from ssvae_cli.pairs.geometry import uniform


def require_steps(data: Data, choice: str, steps: int, settings: str) -> None:
    """Raise UserError unless the data are sequences of at least so many steps, which `settings` ask for."""
    wanted = "sequences, [T, D] or [T, C, H, W], as in dataset=balls, latents (with steps) and sequences"
    require(len(data.shape) in (2, 4), f"{choice} needs {wanted}, and one x is {list(data.shape)} here")
    longest = data.shape[0]
    require(steps <= longest, f"sequences of {longest} steps are shorter than {settings} together")
    for name, split in data.splits.items():
        if split.length is not None and (shortest := int(split.length.min())) < steps:
            row = int(split.length.argmin()) if split.row is None else int(split.row[split.length.argmin()])
            short = int((split.length < steps).sum())
            fault = f"row {row} of {name} has {shortest} steps, and {settings} need {steps}; {short} rows are too short"
            require(False, f"{choice}: {fault}: leave them out, or ask for fewer steps")


def random_starts(batch: Split, steps: int, generator: torch.Generator) -> Tensor:
    """Where so many steps begin in each sequence, int64 [B], uniform over all places within its length."""
    starts = batch.lengths - steps + 1
    return uniform(len(batch), 0, starts, generator).long().minimum(starts - 1)
