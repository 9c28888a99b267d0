"""A window of a sequence and later steps (the first setting of CPC, van den Oord et al. 2018), or a later window."""

from dataclasses import replace

import torch

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import require, require_at_least
from ssvae_cli.pairs.base import Identity, Pairs, other_side
from ssvae_cli.pairs.chain import Chain
from ssvae_cli.pairs.steps import other_times, random_starts, require_steps, require_times
from ssvae_cli.scores.other_times import Negatives


class Context(Chain):
    """x is `window` consecutive steps of a sequence, from a random start; x' begins `ahead` steps after the last.

    x: [B, window, ...], for a recurrent or causal g. x': one step, [B, ...], for a frame encoder g'; or `future` steps,
    [B, future, ...], for g itself if that is `window`. views: with more than two, the single steps that follow x' are
    further views: CPC's several predictions of one context. negatives: a critic's candidates for z in training are of
    other sequences, of `times` other times of the same one, or both. Probes read g of the last window of each sequence.
    """

    within_length = True

    def __init__(
        self,
        *,
        window: int,
        ahead: int,
        future: int | None,
        then: Pairs,
        views: int = 2,
        negatives: Negatives = "across",
        times: int = 8,
    ):
        super().__init__(then=then)
        self.times = require_times(times, negatives)
        fault = f"negatives={negatives} are single steps: future must be null, got {future}"
        require(not self.times or future is None, fault)
        require_at_least(1, window=window, ahead=ahead)
        require_at_least(2, views=views)
        single = "views above 2 are single steps of the future"
        require(views == 2 or future is None, f"{single}: future must be null, got {future}")
        require(future is None or future >= 1, f"future must be at least 1, or null for a single step, got {future}")
        self.window, self.ahead, self.future = window, ahead, future
        self.views = views
        self.steps = window + ahead + (future or 1) + views - 3  # of the sequence, from the first seen to the last

    def check(self, data: Data) -> None:
        needed = f"window={self.window} and ahead={self.ahead}"
        needed += f" and future={self.future}" if self.future else ""
        needed += f" and views={self.views}" if self.views > 2 else ""
        require_steps(data, "pairs=context", self.steps, needed)

    def require_readable(self, data: Data) -> None:
        require_steps(data, "pairs=context", self.window, f"window={self.window}")

    def places(self, data: Data) -> int:
        return data.shape[0]

    def mi(self, data: Data) -> float | None:
        # Past and future of a Markov chain share what two neighbours share.
        neighbours = data.markov or (self.window == 1 and self.future in (None, 1))
        known = neighbours and self.ahead == 1 and self.views == 2 and isinstance(self.then, Identity)
        return data.mi if known else None

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        start = random_starts(batch, self.steps, generator)
        sample = torch.arange(len(batch), device=batch.x.device)[:, None]
        later = self.future or self.views - 1
        window, future = (torch.arange(count, device=batch.x.device) for count in (self.window, later))
        x_prime, further = other_side(batch)[sample, start[:, None] + self.window - 1 + self.ahead + future], ()
        if self.future is None:
            x_prime, *further = x_prime.unbind(1)
        if self.times:
            first = start + self.window - 1 + self.ahead
            further = (*further, *other_times(batch, first, later, self.times, generator))
        return replace(batch, x=batch.x[sample, start[:, None] + window], x_prime=x_prime, further=tuple(further))

    def still(self, batch: Split) -> Split:
        sample = torch.arange(batch.x.shape[0], device=batch.x.device)[:, None]
        places = torch.arange(self.window, device=batch.x.device)
        return replace(batch, x=batch.x[sample, batch.lengths[:, None] - self.window + places])
