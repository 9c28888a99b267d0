"""Two different images of one class: supervised positives, an upper bound for pairs without labels."""

import logging
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import agreeing, require
from ssvae_cli.pairs.chain import Chain
from ssvae_cli.pairs.geometry import uniform

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classes:
    """The rows of a split sorted by class: those of class c are rows[start[c] : start[c] + count[c]]."""

    split: Split
    rows: Tensor
    start: Tensor
    count: Tensor


class Supervised(Chain):
    """x unchanged, and x' another image of its class and split. It reads labels, in training too: an upper bound."""

    def check(self, data: Data) -> None:
        self.classes = [self._by_class(name, split, data.classes) for name, split in data.splits.items()]
        log.warning("pairs=supervised reads the labels: an upper bound, not self-supervised")

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        """Two different rows of the class are drawn, and the first that is not x itself is x'."""
        classes = next(classes for classes in self.classes if classes.split is batch.of)
        n, count, start = len(batch), classes.count[batch.y], classes.start[batch.y]
        first = (uniform(n, 0, 1, generator) * count).long().minimum(count - 1)
        step = 1 + (uniform(n, 0, 1, generator) * (count - 1)).long().minimum(count - 2)
        one, another = (classes.split.x[classes.rows[start + i]] for i in (first, (first + step) % count))
        same = (one == batch.x).flatten(1).all(1)
        return replace(batch, x_prime=torch.where(same.view(-1, *[1] * (one.ndim - 1)), another, one))

    def example(self, batch: Split) -> Split:
        return replace(batch, x_prime=batch.x)

    @staticmethod
    def _by_class(name: str, split: Split, words: tuple[str, ...]) -> Classes:
        require(isinstance(split, Split), "pairs=supervised needs images in memory; raise dataset.memory_gb")
        labelled = bool((split.y >= 0).all())
        require(labelled, f"pairs=supervised needs a label for every image, and {name} has some without")
        count = torch.bincount(split.y)
        alone = [words[c] if words else str(c) for c in (count == 1).nonzero().flatten().tolist()]
        more = f" and {len(alone) - 10} more" if len(alone) > 10 else ""
        of = agreeing(len(alone), "the class", "each of the classes")
        fault = f"{name} has one alone of {of} {', '.join(alone[:10])}{more}"
        require(not alone, f"pairs=supervised needs two images of a class, and {fault}")
        return Classes(split, split.y.argsort(stable=True), count.cumsum(0) - count, count)
