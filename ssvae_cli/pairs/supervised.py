"""Two different images of one class: what labels would give, an upper line for pairs that do without them."""

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import UserError, require
from ssvae_cli.pairs.chain import Chain
from ssvae_cli.pairs.geometry import uniform

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classes:
    """The rows of a split, class by class: those of class c are rows[start[c] : start[c] + count[c]]."""

    split: Split
    rows: Tensor
    start: Tensor
    count: Tensor


class Supervised(Chain):
    """x as it is, and x' another image of its class and split. An oracle: it reads labels, in training too."""

    def check(self, data: Data) -> None:
        self.classes = [self._by_class(name, split, data.classes) for name, split in data.splits.items()]
        log.warning("pairs=supervised reads the labels: an oracle's upper line, not self-supervision")

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        """Two different rows of the class are drawn, and the first that is not x itself is x'."""
        held = next(c for c in self.classes if c.split is batch.of)
        n, count = len(batch), held.count[batch.y]
        first = (uniform(n, 0, 1, generator) * count).long().minimum(count - 1)
        step = 1 + (uniform(n, 0, 1, generator) * (count - 1)).long().minimum(count - 2)
        drawn = (held.split.x[held.rows[held.start[batch.y] + i]] for i in (first, (first + step) % count))
        one, another = drawn
        same = (one == batch.x).flatten(1).all(1)
        return replace(batch, x_prime=torch.where(same.view(-1, *[1] * (one.ndim - 1)), another, one))

    @staticmethod
    def _by_class(name: str, split: Split, words: tuple[str, ...]) -> Classes:
        require(isinstance(split, Split), "pairs=supervised needs images in memory; raise memory_gb to hold them")
        require(
            bool((split.y >= 0).all()), f"pairs=supervised needs a label for every image, and {name} has some without"
        )
        count = torch.bincount(split.y)
        alone = (count == 1).nonzero().flatten().tolist()
        if alone:
            shown = ", ".join(words[c] if words else str(c) for c in alone[:10])
            raise UserError(f"pairs=supervised needs two images of a class, and {name} has one alone of class {shown}")
        return Classes(split, split.y.argsort(stable=True), count.cumsum(0) - count, count)
