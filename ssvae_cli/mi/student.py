"""The Student copula: what the Gaussian copula misses where both sides are extreme together."""

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import gammaln, ndtr, stdtrit
from torch import Tensor

from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.classical import bias_of_fit, chance, normal_ratio
from ssvae_cli.mi.problem import NOTHING, Method, Problem, Reading, shifts

HEAVY = 3.0  # standard deviations of the kurtosis of a Gaussian copula, beyond which tails are heavier
OTHER_TAILS = 0.1  # of what is read beyond a Gaussian copula: by so much it differs where tails are not Student's
DEGREES = (0.5, 100.0)  # of freedom; with more the copula is Gaussian
FURTHEST = 18.0  # standard deviations, whose quantile at the fewest degrees still has a square
ROUNDS = 100  # of expectation maximisation, at most
ENOUGH = 10_000  # pairs, of which degrees of freedom are found; more only take time


class StudentCopula(Method):
    """The mean log ratio of the Student copula fitted to the pairs, by maximum likelihood.

    Sees what has no correlation but is extreme together, as where one scale multiplies every column. Relation to I:
    equal if x and y have a Student copula; at most I, but for the fit, of two single columns; none otherwise. Of the
    linked coordinates, or of all if that is likelier, and only where kurtosis shows tails that a Gaussian copula has
    not. Standard error: of the mean over pairs of the log ratio, of the fit where x and y are independent, and a tenth
    of what it reads beyond a Gaussian copula, as other tails than Student's tell otherwise. widest: coordinates, at
    most. Source: Demarta & McNeil 2005; the fit of a scale matrix: Liu & Rubin 1995; the kurtosis: Mardia 1970.
    """

    def __init__(self, *, widest: int):
        require_at_least(2, widest=widest)
        self.widest = widest

    def refusal(self, problem):
        if problem.width > self.widest:
            return f"more than {self.widest} coordinates"
        few = len(problem) < problem.width + 2
        heavy = few or is_heavy(problem.linked) or is_heavy(problem.pairs)
        return None if heavy else "no heavier tails than those of a Gaussian copula"

    def __call__(self, problem):
        count = len(problem)
        if count < problem.width + 2:
            return Reading(NOTHING)  # the covariance is singular
        pairs, fit = likeliest(problem)
        left, z, shape = pairs.x.shape[1], quantiles(scores_of(pairs), fit.degrees), fit.shape
        density = partial(log_density, degrees=fit.degrees)
        of_x, of_y = density(z[:, :left], shape[:left, :left]), density(z[:, left:], shape[left:, left:])

        def ratio(y_from: np.ndarray) -> Tensor:
            both = np.hstack([z[:, :left], z[y_from, left:]])
            return torch.from_numpy(density(both, shape) - of_x - of_y[y_from])

        rows = np.arange(count)
        terms = ratio(rows) - bias_of_fit(pairs)
        apart = torch.stack([ratio(np.roll(rows, shift)) for shift in shifts(count)])
        value, error = problem.mean(terms)
        of_tails = value - (normal_ratio(pairs)(*pairs).mean().item() - bias_of_fit(pairs))
        error = math.hypot(error, chance(pairs), OTHER_TAILS * of_tails)
        return Reading(Estimate(value, error), problem.lower_bound(terms, apart), terms=terms)


class Fitted(NamedTuple):
    """A Student copula: degrees of freedom, the correlation matrix [d, d], and the log likelihood of its pairs."""

    degrees: float
    shape: np.ndarray
    likelihood: float


def scores_of(pairs: Pairs) -> np.ndarray:
    """The normal scores of both sides, [N, d]."""
    return torch.cat(pairs, 1).numpy()


def is_heavy(pairs: Pairs) -> bool:
    """Whether normal scores are extreme together more often than normal numbers: Mardia's test of kurtosis."""
    z = torch.cat(pairs, 1)
    z = z - z.mean(0)
    count, width = z.shape
    distance = (z @ torch.linalg.pinv(torch.cov(z.T)) * z).sum(1)
    expected = width * (width + 2)
    return distance.square().mean().item() - expected > HEAVY * math.sqrt(8 * expected / count)


def likeliest(problem: Problem) -> tuple[Pairs, Fitted]:
    """The linked coordinates, or all of them: one scale of all of them links those whose own link does not show.

    All of them, if their Student copula is likelier than that of the linked ones times a Gaussian one of the rest."""
    every, linked = problem.pairs, problem.linked
    of_linked = fitted(scores_of(linked))
    if problem.width == sum(side.shape[1] for side in linked):
        return linked, of_linked
    of_every, count = fitted(scores_of(every)), len(problem)
    gaussian = lambda pairs: -0.5 * count * np.linalg.slogdet(np.corrcoef(scores_of(pairs).T))[1]
    apart = of_linked.likelihood + gaussian(every) - gaussian(linked)
    return (every, of_every) if of_every.likelihood > apart else (linked, of_linked)


def quantiles(scores: np.ndarray, degrees: float) -> np.ndarray:
    """Normal scores, as those of a Student distribution, of the same shape; any beyond FURTHEST as one there."""
    tail = ndtr(-np.minimum(np.abs(scores), FURTHEST))  # the lower one, which has all digits
    return np.sign(scores) * -stdtrit(degrees, tail)


def fitted(scores: np.ndarray) -> Fitted:
    """The Student copula of most likelihood, of normal scores [N, d]; its degrees of a part of many rows."""
    from scipy.optimize import minimize_scalar

    def at(degrees: float, scores: np.ndarray) -> Fitted:
        z = quantiles(scores, degrees)
        shape = shape_of(z, degrees)
        alone = sum(log_density(z[:, [column]], np.eye(1), degrees) for column in range(z.shape[1]))
        return Fitted(degrees, shape, (log_density(z, shape, degrees) - alone).sum())

    ends, part = [math.log(end) for end in DEGREES], scores[:: -(-len(scores) // ENOUGH)]
    lack = lambda log_degrees: -at(math.exp(log_degrees), part).likelihood
    return at(math.exp(minimize_scalar(lack, bounds=ends, method="bounded", options={"xatol": 0.05}).x), scores)


def shape_of(z: np.ndarray, degrees: float) -> np.ndarray:
    """The correlation matrix of most likelihood for Student columns, [d, d], z: [N, d]."""
    width = z.shape[1]
    shape = np.eye(width)  # not the correlations, which a few rows make singular where degrees are few
    for _ in range(ROUNDS):
        weights = (degrees + width) / (degrees + squared_distance(z, shape))
        scale = (z.T * weights) @ z
        size = np.sqrt(scale.diagonal())
        before, shape = shape, scale / np.outer(size, size)
        if np.abs(shape - before).max() < 1e-4:
            break
    return shape


def squared_distance(z: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """z' shape^-1 z of each row, [N]."""
    from scipy.linalg import solve_triangular

    return np.square(solve_triangular(np.linalg.cholesky(shape), z.T, lower=True)).sum(0)


def log_density(z: np.ndarray, shape: np.ndarray, degrees: float) -> np.ndarray:
    """log of the multivariate Student density, [N], z: [N, d]."""
    width = z.shape[1]
    half, both = degrees / 2, (degrees + width) / 2
    constant = gammaln(both) - gammaln(half) - width / 2 * math.log(degrees * math.pi)
    spread = 0.5 * np.linalg.slogdet(shape)[1]
    return constant - spread - both * np.log1p(squared_distance(z, shape) / degrees)
