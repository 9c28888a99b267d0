"""Tasks that joined the bank late: what `student_copula` and `projections` are for, and what fresh readers had tried.

part: `late`. They were drawn up after both methods were written, and before `ksg` stretched x, which a miss of
`wave_20` led to.
"""

import numpy as np
from bank import (
    NORMAL,
    QUANTILES,
    SCALES,
    TASKS,
    channel,
    entropy,
    of_rho,
    product_mi,
    square_mi,
    student_mi,
    task,
    uniform,
    wave_mi,
)
from scipy.special import entr, expit
from scipy.stats import norm

__all__ = ["TASKS"]


def along(width: int, seed: int, number: int = 1) -> np.ndarray:
    """Orthogonal directions in `width` dimensions, [width, number]."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((width, number)))[0]


# One number that is a sum of many columns.


@task("low rank", "late", square_mi)
def square_of_a_sum_of_40(rng, n):
    x = rng.standard_normal((n, 40))
    return x, (x @ along(40, 1)) ** 2 + 0.5 * rng.standard_normal((n, 1))


@task("low rank", "late", product_mi)
def product_of_sums_of_10(rng, n):
    x = rng.standard_normal((n, 10))
    return x, (x @ along(10, 2, 2)).prod(1, keepdims=True) + 0.5 * rng.standard_normal((n, 1))


@task("low rank", "late", square_mi)
def square_in_8(rng, n):
    """The square of a sum of 8 columns, turned into 8 dimensions with noise in the others."""
    x, rest = rng.standard_normal((n, 8)), rng.standard_normal((n, 7))
    square = (x @ along(8, 3)) ** 2 + 0.5 * rng.standard_normal((n, 1))
    return x, np.hstack([square, rest]) @ along(8, 4, 8)


@task("low rank", "late", lambda: channel(lambda y, x: norm.logpdf(y, 0, np.exp(x)), NORMAL, SCALES))
def scale_of_a_sum_of_15(rng, n):
    x = rng.standard_normal((n, 15))
    return x, np.exp(x @ along(15, 5)) * rng.standard_normal((n, 1))


def of_a_label(chance: np.ndarray) -> float:
    """I of a label of the probability `chance`, equally likely each, and of what gives it."""
    h = lambda p: entr(p) + entr(1 - p)
    return float(h(chance.mean()) - h(chance).mean())


@task("labels", "late", lambda: of_a_label(expit(4 * NORMAL**2 - 2)))
def label_of_a_squared_sum_of_20(rng, n):
    x = rng.standard_normal((n, 20))
    return x, uniform(rng, n, 1) < expit(4 * (x @ along(20, 6)) ** 2 - 2)


# One scale of all columns.


@task("heavy tails", "late", lambda: student_mi(2, 4) + of_rho(0.5, 2))
def student_4_correlated(rng, n):
    x, y = rng.standard_normal((2, n, 2))
    scale = np.sqrt(rng.chisquare(4, (n, 1)) / 4)
    return x / scale, (0.5 * x + np.sqrt(0.75) * y) / scale


@task("heavy tails", "late", lambda: student_mi(2, 2))
def student_2_among_others(rng, n):
    x, y = rng.standard_normal((2, n, 10))
    scale = np.sqrt(rng.chisquare(2, (n, 1)) / 2)
    x[:, :2], y[:, :2] = x[:, :2] / scale, y[:, :2] / scale
    return x, y


# What changes fast, or abruptly.


@task("oscillation", "late", lambda: wave_mi(20, 0.2))
def wave_20(rng, n):
    x = uniform(rng, n, 1)
    return x, np.sin(40 * np.pi * x) + 0.2 * rng.standard_normal((n, 1))


def chirp_mi():
    points = np.sin(2 * np.pi * (QUANTILES + 3 * QUANTILES**2))
    return channel(lambda y, x: norm.logpdf(y, x, 0.2), points, np.linspace(-3, 3, 3001))


@task("oscillation", "late", chirp_mi)
def chirp(rng, n):
    x = uniform(rng, n, 1)
    return x, np.sin(2 * np.pi * (x + 3 * x**2)) + 0.2 * rng.standard_normal((n, 1))


@task(
    "oscillation",
    "late",
    lambda: channel(lambda y, x: norm.logpdf(y, x, 0.1), np.mod(5 * QUANTILES, 1), np.linspace(-1, 2, 3001)),
)
def sawtooth(rng, n):
    x = uniform(rng, n, 1)
    return x, np.mod(5 * x, 1) + 0.1 * rng.standard_normal((n, 1))


def switching_mi():
    return channel(lambda y, x: norm.logpdf(y, 0, x), np.array([1.0, 6.0]), np.linspace(-50, 50, 9001))


@task("noise", "late", switching_mi)
def switching_scale_of_5(rng, n):
    x = rng.standard_normal((n, 5))
    return x, np.where(np.sin(3 * x[:, :1]) > 0, 6.0, 1.0) * rng.standard_normal((n, 1))


def product_of_three_mi():
    """y = a b c + e / 2: given a and b, y is normal; by the mean over draws of |a b|."""
    rng, grid = np.random.default_rng(0), np.linspace(-40, 40, 16001)
    sizes = np.quantile(np.abs(rng.standard_normal((2, 2_000_000)).prod(0)), (np.arange(2000) + 0.5) / 2000)
    marginal = np.mean([norm.pdf(grid, scale=np.hypot(s, 0.5)) for s in sizes], 0)
    return entropy(marginal, grid) - norm(scale=0.5).entropy()


@task("sparse", "late", product_of_three_mi)
def product_of_three(rng, n):
    x = rng.standard_normal((n, 3))
    return x, x.prod(1, keepdims=True) + 0.5 * rng.standard_normal((n, 1))
