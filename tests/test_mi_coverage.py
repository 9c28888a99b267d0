"""What `ssvae mi` recommends holds the truth: a short form of benchmarks/mi/coverage.py, without networks."""

import math

import numpy as np
import pytest

from ssvae_cli.mi.analysis import read
from ssvae_cli.mi.classical import KSG, GaussianCopula, overlooked
from ssvae_cli.mi.data import pose
from ssvae_cli.mi.discrete import Counts
from ssvae_cli.mi.recommend import recommend
from ssvae_cli.mi.splits import Split
from ssvae_cli.mi.tasks import Additive, Gaussian, Student

SPLIT = Split(validation=0.1, test=0.2, at_most=2048, folds=3)
METHODS = {
    "counts": Counts(),
    "gaussian_copula": GaussianCopula(),
    "ksg": KSG(k=3, most=5000, most_wide=1000, widest=99),
}


def two_in_50(rng):
    x, y = rng.standard_normal((2, 2000, 50))
    x[:, 3:5], y[:, 7:9], exact, _ = Gaussian(samples=2000, dim=2, mi=1.0).draw(rng)
    return x, y, exact


def square(rng):
    x, noise = rng.standard_normal((2, 2000, 1))
    return x, x**2 + 0.5 * noise, 0.802


def codes_and_uniform(rng):
    x = rng.integers(5, size=(2000, 1)).astype(float)
    return x, x + 2 * rng.uniform(size=x.shape), math.log(5) - 0.8 * math.log(2)


def dropped(rng):
    x, y, exact, _ = Gaussian(samples=2000, dim=1, mi=0.8).draw(rng)
    return x, np.where(rng.uniform(size=y.shape) < 0.4, 0, y), 0.6 * exact


def flipped(rng):
    x = rng.integers(2, size=(2000, 1)).astype(float)
    return x, np.abs(x - (rng.uniform(size=x.shape) < 0.1)), 0.368


CASES = {
    "cubes": lambda rng: Gaussian(samples=2000, dim=5, mi=2.0, power=3).draw(rng)[:3],
    "an edge": lambda rng: Additive(samples=2000, noise=0.1).draw(rng)[:3],
    "a shared radius": lambda rng: Student(samples=2000, dim=1, df=1.0).draw(rng)[:3],
    "independence": lambda rng: Gaussian(samples=2000, dim=2, mi=0.0).draw(rng)[:3],
    **{case.__name__: case for case in (two_in_50, square, codes_and_uniform, dropped, flipped)},
}


@pytest.mark.parametrize("name", CASES)
def test_the_interval_holds_the_truth_and_is_narrow(name):
    held = 0
    for seed in range(10, 14):
        x, y, exact = CASES[name](np.random.default_rng(seed))
        problem = pose(x, y, SPLIT, seed)
        best = recommend(list(read(METHODS, problem, False, lambda _: None)), problem)
        held += best.low <= exact <= best.high
        assert best.high - best.low < 0.2 + 0.2 * exact
    assert held >= 3


def correlated(*correlations, count=60):
    """x and y whose columns have exactly these correlations in pairs, and no other."""
    width = len(correlations)
    normal = np.random.default_rng(0).standard_normal((count, 2 * width))
    x, noise = np.hsplit(np.linalg.qr(normal - normal.mean(0))[0] * math.sqrt(count), 2)
    return x, x * correlations + noise * np.sqrt(1 - np.square(correlations))


def test_the_interval_reaches_up_to_links_too_weak_to_be_found_one_by_one():
    """Of 60 pairs correlations of 0.45 are not found, and two of them are 0.23 nats."""
    problems = [pose(*correlated(0.9, *weak), SPLIT, 0) for weak in ((0.45, 0.45), (0.0, 0.0), (0.8, 0.8))]
    assert [len(problem.components) for problem in problems] == [1, 1, 3]
    assert [round(overlooked(problem), 1) for problem in problems] == [0.2, 0.0, 0.0]
    assert all(overlooked(problem) == 0 for problem in problems[1:])
    methods = {name: method for name, method in METHODS.items() if name != "counts"}
    best, apart = (recommend(list(read(methods, p, False, lambda _: None)), p) for p in problems[:2])
    assert "columns without their own link" in best.why and "without a link" not in apart.why
    assert best.high > apart.high + 0.1


def test_the_error_of_ksg_is_the_deviation_over_samples():
    """That of independent terms is 1.25 times too small, as pairs share their neighbours."""
    found = []
    for seed in range(100):
        x, y, *_ = Gaussian(samples=300, dim=1, mi=0.5).draw(np.random.default_rng(seed))
        found.append(METHODS["ksg"](pose(x, y, SPLIT, 0)).estimate)
    values, errors = map(np.array, zip(*found))
    assert 0.9 < values.std() / errors.mean() < 1.1
