"""A window of a sequence and a later step (the first setting of CPC, van den Oord et al. 2018)."""

from dataclasses import replace

import torch

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import require, require_at_least
from ssvae_cli.pairs.base import Pairs, other_side
from ssvae_cli.pairs.chain import Chain
from ssvae_cli.pairs.geometry import uniform


class Context(Chain):
    """x is `window` consecutive steps of a sequence, from a random start; x' the step `ahead` steps after the last.

    x: [B, window, ...], for a recurrent or causal g; x': [B, ...], for a frame encoder g'. Probes read g of the last
    window of each sequence.
    """

    def __init__(self, *, window: int, ahead: int, then: Pairs):
        super().__init__(then=then)
        require_at_least(1, window=window, ahead=ahead)
        self.window, self.ahead = window, ahead

    def check(self, data: Data) -> None:
        wanted = "sequences, [T, D] or [T, C, H, W], as in dataset=balls and dataset=sequences"
        require(len(data.shape) in (2, 4), f"pairs=context needs {wanted}, and one x is {list(data.shape)} here")
        steps, needed = data.shape[0], f"window={self.window} and ahead={self.ahead} together"
        require(self.window + self.ahead <= steps, f"sequences of {steps} steps are shorter than {needed}")

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        starts = batch.x.shape[1] - self.window - self.ahead + 1
        start = uniform(len(batch), 0, starts, generator).long().clamp(max=starts - 1)
        sample = torch.arange(len(batch), device=batch.x.device)
        steps = start[:, None] + torch.arange(self.window, device=batch.x.device)
        ahead = other_side(batch)[sample, start + self.window - 1 + self.ahead]
        return replace(batch, x=batch.x[sample[:, None], steps], x_prime=ahead)

    def still(self, batch: Split) -> Split:
        return replace(batch, x=batch.x[:, -self.window :])
