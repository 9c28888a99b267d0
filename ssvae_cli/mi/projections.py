"""A lower bound of I where columns tell of the other side together alone: neighbours along a few directions."""

import math

import torch
from torch import Tensor

from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.classical import ksg, mean_of_terms
from ssvae_cli.mi.problem import NOTHING, Method, Problem, Reading


class Projections(Method):
    """KSG of a few directions of x and of y, fitted to other folds: canonical ones, whose correlation is largest; and
    principal Hessian ones, two of a side whose squares and products correlate most with one of the other. The largest
    of the three, chosen on the other folds.

    It sees the square of a sum of many columns, of which no column or pair of columns tells. Relation to I: a lower
    bound, as directions are functions of x and y, up to the bias of KSG, which is downward. Ceiling: log of the pairs
    of a fold. k: neighbours. most: pairs that are read, at most. widest: coordinates of both sides, at most. Standard
    error: as `mean_of_terms`. Source: Li 1992 (principal Hessian directions); Tsur et al. 2023 (max-sliced I).
    """

    relation = "lower bound"

    def __init__(self, *, k: int, most: int, widest: int):
        require_at_least(1, k=k)
        require_at_least(10, most=most)
        require_at_least(3, widest=widest)
        self.k, self.most, self.widest = k, most, widest

    def ceiling(self, problem):
        return math.log(max(1, min(len(fold) for _, fold in self._folds(problem.part(self.most)))))

    def refusal(self, problem):
        if problem.countable:
            return "both sides have few values: counts serve"
        if problem.width > self.widest:
            return f"more than {self.widest} coordinates"
        return "both sides are single columns" if problem.width == 2 else None

    def __call__(self, problem):
        problem = problem.part(self.most)
        gap, folds = problem.split.gap, self._folds(problem)
        if any(len(train) < problem.width + 2 or len(fold) < 4 * self.k + 2 * gap for train, fold in folds):
            return Reading(NOTHING)
        terms = torch.empty(3, len(problem), dtype=torch.float64)
        for train, fold in folds:
            pairs, held = whitened(problem.pairs.rows(train), problem.pairs.rows(fold))
            for row, (of_x, of_y) in zip(terms, directions(pairs)):
                row[fold] = ksg(Pairs(held.x @ of_x, held.y @ of_y), self.k, gap)
        return Reading(mean_of_terms(problem, largest_of(terms, [fold for _, fold in folds])))

    def _folds(self, problem: Problem) -> list[tuple[Tensor, Tensor]]:
        return problem.split.folds(len(problem), problem.generator())


def largest_of(terms: Tensor, folds: list[Tensor]) -> Tensor:
    """Of several terms of each pair, [M, N], those that are largest in the mean over the other folds, [N]: the largest
    of the same pairs would be too large by chance."""
    chosen = torch.empty_like(terms[0])
    for fold in folds:
        of_others = terms.sum(1) - terms[:, fold].sum(1)
        chosen[fold] = terms[of_others.argmax(), fold]
    return chosen


def whitened(train: Pairs, held: Pairs) -> tuple[Pairs, Pairs]:
    """Both, each side mapped so that its columns have mean 0 and no correlation on `train`, float64."""
    sides = []
    for fitted, other in zip(train, held):
        mean, ridge = fitted.mean(0), 1e-6 * torch.eye(fitted.shape[1], dtype=torch.float64)
        lower = torch.linalg.cholesky(torch.cov(fitted.T).reshape(ridge.shape) + ridge)
        sides.append([torch.linalg.solve_triangular(lower, (z - mean).T, upper=False).T for z in (fitted, other)])
    return tuple(Pairs(*part) for part in zip(*sides))


def directions(pairs: Pairs) -> list[tuple[Tensor, Tensor]]:
    """The canonical directions of whitened pairs; the Hessian ones of x and one of y; those of y and one of x. Of x and
    of y, [d_x, m] and [d_y, m']."""
    of_x, _, of_y = torch.linalg.svd(pairs.x.T @ pairs.y, full_matrices=False)
    return [(of_x[:, :1], of_y[:1].T), hessian(*pairs), hessian(*pairs[::-1])[::-1]]


def hessian(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two directions of x whose squares and products correlate most with one of y: [d_x, 2] or [d_x, 1], [d_y, 1].

    The mean of y_j x x' over whitened pairs is a matrix for each j; of its combinations v_j the one of largest norm is
    taken, and of that the eigenvectors of largest eigenvalues."""
    moments = torch.stack([x.T @ (x * column[:, None]) for column in y.T]) / len(x)  # [d_y, d_x, d_x]
    flat = moments.flatten(1)
    of_y = torch.linalg.eigh(flat @ flat.T)[1][:, -1]
    curvature = torch.einsum("j,jab->ab", of_y, moments)
    eigenvalues, of_x = torch.linalg.eigh((curvature + curvature.T) / 2)
    return of_x[:, eigenvalues.abs().argsort(descending=True)[:2]], of_y[:, None]
