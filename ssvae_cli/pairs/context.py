"""A window of a sequence and a later step (the first setting of CPC, van den Oord et al. 2018), or a later window."""

from dataclasses import replace

import torch

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import require, require_at_least
from ssvae_cli.pairs.base import Identity, Pairs, other_side
from ssvae_cli.pairs.chain import Chain
from ssvae_cli.pairs.steps import random_starts, require_steps


class Context(Chain):
    """x is `window` consecutive steps of a sequence, from a random start; x' begins `ahead` steps after the last.

    x: [B, window, ...], for a recurrent or causal g. x': one step, [B, ...], for a frame encoder g'; or `future` steps,
    [B, future, ...], for g itself if that is `window`. Probes read g of the last window of each sequence.
    """

    def __init__(self, *, window: int, ahead: int, future: int | None, then: Pairs):
        super().__init__(then=then)
        require_at_least(1, window=window, ahead=ahead)
        require(future is None or future >= 1, f"future must be at least 1, or null for a single step, got {future}")
        self.window, self.ahead, self.future = window, ahead, future
        self.steps = window + ahead + (future or 1) - 1  # of the sequence, from the first of x to the last of x'

    def check(self, data: Data) -> None:
        needed = f"window={self.window} and ahead={self.ahead}"
        needed += f" and future={self.future}" if self.future else ""
        require_steps(data, "pairs=context", self.steps, needed)

    def mi(self, data: Data) -> float | None:
        # The steps are a stationary Markov chain where this is known: past and future share what two neighbours share.
        return data.mi if self.ahead == 1 and isinstance(self.then, Identity) else None

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        start = random_starts(batch, self.steps, generator)
        sample = torch.arange(len(batch), device=batch.x.device)[:, None]
        window, future = (torch.arange(count, device=batch.x.device) for count in (self.window, self.future or 1))
        x_prime = other_side(batch)[sample, start[:, None] + self.window - 1 + self.ahead + future]
        x_prime = x_prime.squeeze(1) if self.future is None else x_prime
        return replace(batch, x=batch.x[sample, start[:, None] + window], x_prime=x_prime)

    def still(self, batch: Split) -> Split:
        sample = torch.arange(len(batch), device=batch.x.device)[:, None]
        places = torch.arange(self.window, device=batch.x.device)
        return replace(batch, x=batch.x[sample, batch.lengths[:, None] - self.window + places])
