"""A lower bound of I where a side is one continuous column: what the other side tells of its quantile."""

import math

import torch
from torch import Tensor

from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.mi.discrete import log_ratios
from ssvae_cli.mi.problem import Method, Problem, Reading, has_many


class Quantiles(Method):
    """H(b) - H(b | x), b the bin of y among equally frequent ones, by the classifiers of `Classifier`; of two single
    columns the larger of both directions.

    What does not depend smoothly on x, as a scale or a sign that switches, trees find where densities do not. most:
    pairs that are read, at most. widest: coordinates of both sides, at most. Relation to I: a lower bound, as b is a
    function of y. Ceiling: log of the number of bins. Standard error: of the mean log ratio over pairs. Source: the
    data processing inequality, Cover & Thomas, thm 2.8.1.
    """

    relation = "lower bound"
    trained = True

    def __init__(self, *, bins: int, rounds: int, most: int, widest: int):
        require_at_least(2, bins=bins, widest=widest)
        require_at_least(1, rounds=rounds)
        require_at_least(10, most=most)
        self.bins, self.rounds, self.most, self.widest = bins, rounds, most, widest

    def ceiling(self, problem):
        return math.log(self.bins)

    def refusal(self, problem):
        if any(side is not None and not has_many(side) for side in problem.classes):
            return "a side has few values"
        if problem.width > self.widest:
            return f"more than {self.widest} coordinates"
        part = problem.part(self.most)
        if 4 * part.split.gap > len(part):
            return "too few pairs are further apart than the gap"
        return None if self._single(problem) else "neither side is a single column"

    def __call__(self, problem):
        problem = problem.part(self.most)
        bounds = [self._bound(problem, side) for side in self._single(problem)]
        return Reading(max(bounds, key=lambda bound: bound.value))

    def _single(self, problem: Problem) -> list[int]:
        return [side for side in (0, 1) if problem.pairs[side].shape[1] == 1]

    def _bound(self, problem: Problem, side: int) -> Estimate:
        binned = in_bins(problem.pairs[side].squeeze(1), self.bins)
        return problem.mean(log_ratios(problem.pairs[1 - side].numpy(), binned.numpy(), problem, self.rounds))


def in_bins(column: Tensor, bins: int) -> Tensor:
    """The bin of each number, int64 [N], of as many bins, equally frequent but for ties."""
    cuts = column.double().quantile(torch.arange(1, bins, dtype=torch.float64) / bins)
    return torch.bucketize(column.double(), cuts).unique(return_inverse=True)[1]
