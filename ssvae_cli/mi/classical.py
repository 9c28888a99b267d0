"""Two classical estimates, without a network: nearest neighbours, and the Gaussian copula."""

import math
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.components import Component
from ssvae_cli.mi.problem import NOTHING, Method, Problem, Ratio, Reading, shifts

NARROW = 6  # coordinates in all, up to which a tree finds neighbours fast
STRETCHES = (1 / 16, 1 / 4, 4, 16)  # of x, in which neighbours may see what they miss at 1
ENOUGH = 2000  # pairs, of which a stretch is chosen
CLEARLY = 6.0  # errors by which it must read more
SHARED = 1.25  # by which the error of `ksg` exceeds that of independent terms: pairs share their neighbours


def ksg(pairs: Pairs, k: int = 3, gap: int = 0) -> Tensor:
    """psi(k) + psi(N) - psi(n_x + 1) - psi(n_y + 1) of each pair, [N]; their mean estimates I.

    n_x: the number of pairs nearer in x than the k-th neighbour. Distances are the largest difference of a coordinate.
    gap: rows up to which the pairs of a series depend on a pair: none of these is its neighbour, or is counted.
    Source: Kraskov, Stoegbauer & Grassberger 2004, their first estimator; the gap: Theiler 1986.
    """
    x, y = (side.double().numpy() for side in pairs)
    count = len(x)
    row = np.arange(count)
    left_out = np.minimum(row, gap) + np.minimum(row[::-1], gap)  # rows within the gap
    k = min(k, count - 1 - int(left_out.max()))
    both = np.hstack([x, y])
    distance, nearest = cKDTree(both).query(both, min(k + 1 + 2 * gap, count), p=np.inf)
    far = np.abs(nearest - row[:, None]) > gap
    reach = distance[row, (far.cumsum(1) == k).argmax(1)]
    near = [torch.from_numpy(_within(side, reach, gap)).double() for side in (x, y)]  # n + 1, with the pair itself
    number = torch.from_numpy(count - left_out).double()
    k_and_n = torch.digamma(torch.full_like(number, k)) + torch.digamma(number)
    return k_and_n - sum(torch.digamma(side) for side in near)


def _within(side: np.ndarray, reach: np.ndarray, gap: int) -> np.ndarray:
    """How many rows of `side`, further than `gap` rows away, lie nearer to each row than its `reach`, and itself."""
    reach = reach * (1 - 1e-10)  # nearer, not as near, whatever the rounding of a sum
    if side.shape[1] > 1:
        counts = cKDTree(side).query_ball_point(side, reach, p=np.inf, return_length=True)
    else:
        line = np.sort(side[:, 0])
        ends = (np.searchsorted(line, side[:, 0] + sign * reach, edge) for sign, edge in ((1, "right"), (-1, "left")))
        counts = next(ends) - next(ends)
    for step in range(1, gap + 1):
        distance = np.abs(side[step:] - side[:-step]).max(1)
        counts[step:] -= distance <= reach[step:]
        counts[:-step] -= distance <= reach[:-step]
    return np.maximum(counts, 1)


def mean_of_terms(problem: Problem, terms: Tensor) -> Estimate:
    """The mean of the terms of `ksg`, [N]. Its error is a quarter larger than the mean over pairs says: over samples of
    normal pairs, sums, circles and pairs of one scale the ratio is 1.0 to 1.4, in 3 + 3 coordinates up to 1.7."""
    value, error = problem.mean(terms)
    return Estimate(value, SHARED * error)


class KSG(Method):
    """Nearest neighbours, on each component of coordinates that depend on each other; the sum over components.

    Relation to I: none; accurate where components are narrow, far below I where they are wide; its bias falls about as
    1/N in two dimensions, and as N^(-1/d) in d. Where one side oscillates over the other, x is stretched against y,
    which moves no I: neighbours are then near enough in x to have the same y. On atoms it reads the scores of Problem,
    whose ties are broken at random. k: neighbours; most, most_wide: pairs that are used, at most, and where a component
    has more than 6 coordinates; widest: coordinates of a component, at most. Rows within the gap of a split are no
    neighbours. NaN where too few are further apart. Standard error: as `mean_of_terms`. Source: Kraskov et al. 2004.
    """

    def __init__(self, *, k: int, most: int, most_wide: int, widest: int):
        require_at_least(1, k=k)
        require_at_least(2, widest=widest)
        require_at_least(10, most=most, most_wide=most_wide)
        self.k, self.most, self.most_wide, self.widest = k, most, most_wide, widest

    def refusal(self, problem):
        return f"over {self.widest} coordinates depend on each other" if widest_of(problem) > self.widest else None

    def __call__(self, problem):
        widest = widest_of(problem)
        used = problem.part(self.most if widest <= NARROW else self.most_wide)
        count, gap = len(used), used.split.gap
        if count < 2 * gap + 2:
            return Reading(NOTHING)
        parts = [self._stretched(used, part) for part in used.components or [Component(*map(columns, used.pairs))]]
        enough = [pieces for pieces in (1, 2, 4) if pieces == 1 or count >= pieces * (4 * self.k + 2 * gap)]
        terms = [sum(self._terms(part, pieces, gap) for part in parts) for pieces in enough]
        growth = tuple(used.mean(more - fewer) for more, fewer in pairwise(terms))
        return Reading(mean_of_terms(used, terms[0]), growth=growth, settles=0.5 if widest == 2 else 2 ** (-1 / widest))

    def _stretched(self, problem: Problem, part: Component) -> Pairs:
        """The coordinates of a component, x stretched as a part of the pairs reads most in."""
        pairs, some = part.of(problem.pairs), problem.part(ENOUGH)
        if len(part.x) + len(part.y) > NARROW or len(some) < 2 * some.split.gap + 2:
            return pairs
        return Pairs(pairs.x * stretch(some, part.of(some.pairs), self.k), pairs.y)

    def _terms(self, pairs: Pairs, pieces: int, gap: int) -> Tensor:
        """The terms of each pair among its own piece of the pairs, [N]."""
        rows = torch.arange(len(pairs.x)).chunk(pieces)
        return torch.cat([ksg(pairs.rows(piece), self.k, gap) for piece in rows])


def stretch(problem: Problem, pairs: Pairs, k: int) -> float:
    """The stretch of x in which `ksg` reads most of `pairs`, of the rows of `problem`; 1 unless it reads more by six
    errors: they are half as large again as the mean over pairs says, and of several the largest is large by chance."""
    read = lambda factor: ksg(Pairs(pairs.x * factor, pairs.y), k, problem.split.gap)
    plain = read(1.0)
    gains = {factor: problem.mean(read(factor) - plain) for factor in STRETCHES}
    certain = {factor: gain.value for factor, gain in gains.items() if gain.value > CLEARLY * gain.error}
    return max(certain, key=certain.get, default=1.0)


def columns(side: Tensor) -> list[int]:
    """The numbers of all columns of [N, d]."""
    return list(range(side.shape[1]))


def widest_of(problem: Problem) -> int:
    """The number of coordinates of the widest component; of all, where there is none."""
    return max((len(one.x) + len(one.y) for one in problem.components), default=problem.width)


def normal_ratio(pairs: Pairs) -> Ratio:
    """The log ratio of the normal densities fitted to `pairs`."""
    both = torch.cat(pairs, 1)
    mean, covariance, width = both.mean(0), torch.cov(both.T), pairs.x.shape[1]

    def log_density(z: Tensor, which: slice) -> Tensor:
        """log N(z; 0, S) without its constant, [B]."""
        block = covariance[which, which]
        lower = torch.linalg.cholesky(block + 1e-9 * torch.eye(len(block), dtype=z.dtype))
        within = torch.linalg.solve_triangular(lower, z[:, which].T, upper=False).square().sum(0)
        return -0.5 * within - lower.diagonal().log().sum()

    def ratio(x: Tensor, y: Tensor) -> Tensor:
        z = torch.cat([x, y], 1) - mean
        return log_density(z, slice(None)) - log_density(z, slice(width)) - log_density(z, slice(width, None))

    return ratio


def wishart_bias(count: int, width: int) -> float:
    """The mean of log |S|, S a covariance of `count` samples in `width` dimensions, less log of the true one's."""
    freedom = (count - 1 - torch.arange(width, dtype=torch.float64)).clamp_min(1)
    return (torch.digamma(freedom / 2) + math.log(2) - math.log(count - 1)).sum().item()


def bias_of_fit(pairs: Pairs) -> float:
    """What the log ratio of the normal densities fitted to so many `pairs` exceeds I by, on these pairs, nats."""
    (count, left), right = pairs.x.shape, pairs.y.shape[1]
    of_x, of_y, of_both = (wishart_bias(count, width) for width in (left, right, left + right))
    return 0.5 * (of_x + of_y - of_both)


def chance(pairs: Pairs, fewer: int = 0) -> float:
    """The standard error of that ratio where x and y are independent, as 2 N I has then a chi-squared distribution, of
    as many degrees as there are pairs of coordinates; `fewer`: of these that a part of the coordinates has."""
    (count, left), right = pairs.x.shape, pairs.y.shape[1]
    return math.sqrt((left * right - fewer) / 2) / (count - left - right - 1)


def overlooked(problem: Problem) -> float:
    """By how much the Gaussian copula of all coordinates exceeds that of the linked ones, nats; 0 within two errors of
    chance. Links too weak to be found one by one, as of few pairs, show together. Of independent pairs alone."""
    every, linked = problem.pairs, problem.linked
    found = linked.x.shape[1] * linked.y.shape[1]
    is_all = found == every.x.shape[1] * every.y.shape[1]
    if is_all or len(problem) < problem.width + 2 or not problem.split.independent:
        return 0.0
    whole, part = (normal_ratio(pairs)(*pairs).mean().item() - bias_of_fit(pairs) for pairs in (every, linked))
    more = whole - part
    return more if more > 2 * chance(every, fewer=found) else 0.0


class GaussianCopula(Method):
    """-1/2 log |R| / (|R_x| |R_y|), R the correlation matrix of the normal scores, corrected for finite-sample bias.

    Relation to I: equal if x and y have a Gaussian copula; none otherwise, and dependence without correlation is
    missed. Of the linked coordinates alone. NaN where there are fewer pairs than coordinates. Standard error: of the
    mean over pairs of the log ratio of the fitted densities, and of the fit where x and y are independent. Source: Ince
    et al. 2017.
    """

    def __call__(self, problem):
        pairs, count = problem.linked, len(problem)
        if count < pairs.x.shape[1] + pairs.y.shape[1] + 2:
            return Reading(NOTHING)  # the covariance is singular
        ratio = normal_ratio(pairs)
        terms = ratio(*pairs) - bias_of_fit(pairs)
        apart = torch.stack([ratio(pairs.x, pairs.y.roll(shift, 0)) for shift in shifts(count)])
        value, error = problem.mean(terms)
        error = math.hypot(error, chance(pairs))
        return Reading(Estimate(value, error), problem.lower_bound(terms, apart), terms=terms)
