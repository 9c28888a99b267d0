"""What pair generators of sequences share: where a window may begin, and whether the sequences are long enough."""

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import counted, require, require_at_least
from ssvae_cli.pairs.geometry import uniform
from ssvae_cli.scores.other_times import Negatives


def require_steps(data: Data, choice: str, steps: int, settings: str) -> None:
    """Raise UserError unless the data are sequences of at least so many steps, which `settings` ask for."""
    wanted = "sequences, [T, D] or [T, C, H, W], as in dataset=balls, latents (with steps) and sequences"
    require(len(data.shape) in (2, 4), f"{choice} needs {wanted}, and one x is {list(data.shape)} here")
    longest, *of_step = data.shape
    is_turned = len(of_step) == 1 and longest < of_step[0]  # as other programs hold series, [D, T]
    turned = f"; one x is {list(data.shape)}, and steps come first, [T, D]" if is_turned else ""
    require(steps <= longest, f"sequences of {counted(longest, 'step')} are shorter than {settings} together{turned}")
    ragged = {name: split for name, split in data.splits.items() if split.length is not None}
    if not (short := sum(int((split.length < steps).sum()) for split in ragged.values())):
        return
    name, split = min(ragged.items(), key=lambda item: int(item[1].length.min()))
    place = int(split.length.argmin())
    row = place if split.row is None else int(split.row[place])
    fewest = counted(int(split.length[place]), "step")
    fault = f"row {row}, in {name}, has {fewest}, the fewest, and {settings} need {steps}"
    remedy = "leave them out, or ask for fewer steps"
    require(False, f"{choice}: {fault}; {short} of {sum(map(len, data.splits.values()))} rows are too short: {remedy}")


def require_times(times: int, negatives: Negatives) -> int:
    """How many other times of each sequence are drawn. Raises UserError unless it is at least 1."""
    require_at_least(1, times=times)
    return 0 if negatives == "across" else times


def other_times(batch: Split, first: Tensor, count: int, times: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """`times` steps of each sequence, [B, ...] each, uniform over those outside of `count` steps from `first`, [B]."""
    sample = torch.arange(len(batch), device=batch.x.device)[:, None]
    free = (batch.lengths - count)[:, None]
    place = (uniform(len(batch), 0, 1, generator, times) * free).long().minimum(free - 1)
    return batch.x[sample, place + count * (place >= first[:, None])].unbind(1)


def random_starts(batch: Split, steps: int, generator: torch.Generator) -> Tensor:
    """Where so many steps begin in each sequence, int64 [B], uniform over all places within its length."""
    starts = batch.lengths - steps + 1
    return uniform(len(batch), 0, starts, generator).long().minimum(starts - 1)
