"""What a method is given, and what it answers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.evaluation.estimate import Estimate, error_of_groups
from ssvae_cli.evaluation.fit import Curve
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.components import Component
from ssvae_cli.mi.splits import Split

Ratio = Callable[[Tensor, Tensor], Tensor]  # x, y -> log p(x, y) / p(x) p(y) of each pair, [B]
SHUFFLES = 10
ALONE = 0.3  # of the pairs, at most, are the only ones of their combination where counts are trusted
MANY = 64  # values of a side, from which they may be numbers, whose order tells what neither counts nor classes do
ALONE_OF_MANY = 0.02


@dataclass(frozen=True)
class Problem:
    """Pairs as normal scores, float64, and what is known of them.

    classes: of x, of y, None for a side without. infinite: whether continuous coordinates of both are the same;
    ordered: whether columns of both order the rows in the same way, up to ties."""

    pairs: Pairs
    classes: tuple[Tensor | None, Tensor | None]
    components: list[Component]
    split: Split
    seed: int
    infinite: bool = False
    ordered: bool = False
    images: tuple[Tensor | None, Tensor | None] = (None, None)

    def __len__(self) -> int:
        return len(self.pairs.x)

    @property
    def width(self) -> int:
        return sum(side.shape[1] for side in self.pairs)

    @property
    def countable(self) -> bool:
        """Whether both sides have classes, and most combinations that occur occur more than once; of many classes,
        nearly all pairs are of such a combination."""
        if any(side is None for side in self.classes):
            return False
        counts = torch.stack(self.classes).unique(dim=1, return_counts=True)[1]
        share = ALONE_OF_MANY if any(map(has_many, self.classes)) else ALONE
        return (counts == 1).sum().item() <= share * len(self)

    @property
    def linked(self) -> Pairs:
        """The coordinates that are linked to the other side; all, if none is."""
        columns = [sorted(c for one in self.components for c in getattr(one, side)) for side in "xy"]
        return Pairs(*(side[:, chosen] for side, chosen in zip(self.pairs, columns))) if self.components else self.pairs

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def rows(self, rows: Tensor, rows_of_y: Tensor | None = None) -> "Problem":
        """The same of a part of the pairs; with rows_of_y, x at `rows` is paired with y there."""
        both = rows, rows if rows_of_y is None else rows_of_y
        part = lambda sides: tuple(None if side is None else side[at] for side, at in zip(sides, both))
        return replace(self, pairs=Pairs(*part(self.pairs)), classes=part(self.classes), images=part(self.images))

    def part(self, size: int) -> "Problem":
        """The same of at most `size` of the pairs, which are like all of them."""
        rows, split = self.split.part_of(len(self), size, self.generator())
        return replace(self.rows(rows), split=split)

    def mean(self, terms: Tensor) -> Estimate:
        """The mean of terms, one for each pair, [N]; its error over the groups of the split, which are independent."""
        groups = self.split.groups(len(terms))
        number = int(groups.max()) + 1
        excess = torch.zeros(number, dtype=terms.dtype).index_add(0, groups, terms - terms.mean())
        error = (excess.square().sum() * number / (number - 1)).sqrt().item() / len(terms)
        return Estimate(terms.mean().item(), error_of_groups(error, number))

    def held_out(self, fit: Callable[[Pairs], Ratio], pairs: Pairs) -> tuple[Tensor, Tensor]:
        """(log ratio of every pair, [N], of the same x with the y of others, [10, N]), by a fit without its fold."""
        terms, apart = torch.empty(len(self)), torch.empty(SHUFFLES, len(self))
        for train, fold in self.split.folds(len(self), self.generator()):
            ratio, (x, y) = fit(pairs.rows(train)), pairs.rows(fold)
            with torch.no_grad():
                terms[fold] = ratio(x, y).float()
                for row, shift in zip(apart, shifts(len(fold))):
                    row[fold] = ratio(x, y.roll(shift, 0)).float()
        return terms.double(), apart.double()

    def growth(self, fit: Callable[[Pairs], Ratio], pairs: Pairs, terms: Tensor) -> Estimate:
        """How much `terms`, of `held_out`, exceed those of a fit to half as many pairs, on the first fold."""
        train, fold = self.split.folds(len(self), self.generator())[0]
        ratio = fit(pairs.rows(train[: len(train) // 2]))
        with torch.no_grad():
            fewer = ratio(*pairs.rows(fold))
        return self.rows(fold).mean(terms[fold] - fewer)

    def lower_bound(self, terms: Tensor, apart: Tensor) -> Estimate:
        """E T - log E e^T, the second over independent pairs: at most I for every T that was fitted to other pairs.

        Donsker & Varadhan 1983. It shows a ratio that is too large, as by a bad density of y: then E e^T is above 1.
        """
        log_mean = apart.logsumexp((0, 1)) - math.log(apart.numel())
        value = self.mean(terms)
        spread = self.mean((apart - log_mean).exp().mean(0))
        return Estimate(value.value - log_mean.item(), math.hypot(value.error, spread.error))


def has_many(classes: Tensor) -> bool:
    """Whether a side, the class of each row, [N], may be of numbers."""
    return int(classes.max()) >= MANY


def shifts(count: int) -> list[int]:
    """By how many rows y is moved against x for independent pairs: far apart, none by 0."""
    return [max(1, (i + 1) * count // (SHUFFLES + 1)) for i in range(SHUFFLES)]


class Reading(NamedTuple):
    """A method's answer.

    bound: a lower bound from the same fit. growth: what the last doubling of the number of pairs added, and before it
    the doubling to half of them, if known. settles: the factor by which growth falls with each doubling, at best.
    terms: the log ratio of each pair, [N], held out where it is fitted. curve: validation over training.
    """

    estimate: Estimate
    bound: Estimate | None = None
    growth: tuple[Estimate, ...] = ()
    settles: float = 0.5
    terms: Tensor | None = None
    curve: Curve | None = None


NOTHING = Estimate(math.nan, math.nan)  # of too few pairs


class Method(ABC):
    """One way to estimate I. A subclass's docstring states its relation to I and its source."""

    relation = "no bound"  # of the estimate's expectation to I: `equal`, `lower bound`, `no bound`
    trained = False  # whether networks are trained, which takes seconds

    def refusal(self, problem: Problem) -> str | None:
        """Why this method does not apply, or None."""
        return None

    def ceiling(self, problem: Problem) -> float:
        """The largest possible value, nats."""
        return math.inf

    @abstractmethod
    def __call__(self, problem: Problem) -> Reading:
        """The estimate, in nats."""
