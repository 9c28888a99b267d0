"""Projections: what many columns tell together alone is found along a few directions, and bounds I from below.

1. The directions are those that the pairs were made of, whatever mixes the columns.
2. The bound lies below I, near half of it and more where nothing else sees a dependence, and at 0 without one.
3. It is left out where there is nothing to project, and of too few pairs.
"""

import math

import numpy as np
import pytest
import torch

from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.analysis import read
from ssvae_cli.mi.classical import KSG, GaussianCopula
from ssvae_cli.mi.data import pose
from ssvae_cli.mi.projections import Projections, directions, hessian, largest_of, whitened
from ssvae_cli.mi.recommend import recommend
from ssvae_cli.mi.splits import Blocks, Split

SIZES = {"validation": 0.1, "test": 0.2, "at_most": 2048, "folds": 3}
SPLIT = Split(**SIZES)
METHOD = Projections(k=3, most=5000, widest=60)
NOISE = torch.randn(400, 3, 30, generator=torch.Generator().manual_seed(0))
SQUARE = 0.802  # I of x and x^2 + e / 2, nats, by quadrature


def unit(width, seed=3):
    direction = np.random.default_rng(seed).standard_normal(width)
    return direction / np.linalg.norm(direction)


def squares(width=20, count=600, seed=0):
    """x of `width` normal columns, and the noisy square of their sum along a direction."""
    x = np.random.default_rng(seed).standard_normal((count, width))
    return x, np.square(x @ unit(width))[:, None] + 0.5 * np.random.default_rng(seed + 99).standard_normal((count, 1))


def problem(x, y, split=SPLIT):
    return pose(x, y, split, 0)


def as_pairs(*sides):
    return Pairs(*map(torch.from_numpy, sides))


# 1. The directions.


def test_the_hessian_directions_are_those_of_a_square_and_of_a_product():
    x, y = squares(width=6, count=4000)
    pairs, _ = whitened(as_pairs(x, y), as_pairs(x, y))
    of_x, of_y = hessian(*pairs)
    assert abs(of_x[:, 0].numpy() @ unit(6)) > 0.97 and of_y.abs().item() == pytest.approx(1)
    product = as_pairs(x, (x[:, 1] * x[:, 4])[:, None])
    plane = hessian(*whitened(product, product)[0])[0].square().sum(1)
    assert plane[[1, 4]].min() > 0.95 and plane[[0, 2, 3, 5]].max() < 0.05


def test_the_moments_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    x, y = (torch.from_numpy(rng.standard_normal((50, width))) for width in (3, 2))
    of_x, of_y = hessian(x, y)
    moment = sum(float(b @ of_y.squeeze()) * torch.outer(a, a) for a, b in zip(x, y)) / 50
    for direction in of_x.T:
        torch.testing.assert_close(moment @ direction, (direction @ moment @ direction) * direction)
    norms = [sum(float(b @ v) * torch.outer(a, a) for a, b in zip(x, y)).norm() for v in torch.eye(2, dtype=x.dtype)]
    assert moment.norm() * 50 >= max(norms) - 1e-9


def test_the_canonical_direction_is_that_of_a_sum():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 4000, 5))
    y[:, 2] += 3 * x @ unit(5)
    pairs, _ = whitened(as_pairs(x, y), as_pairs(x, y))
    of_x, of_y = directions(pairs)[0]
    assert abs(of_x[:, 0].numpy() @ unit(5)) > 0.97 and of_y[2].abs() > 0.97


def test_no_mixing_of_the_columns_moves_what_is_whitened_but_a_rotation():
    x, y = squares()
    mixing = np.random.default_rng(1).standard_normal((20, 20))
    plain, mixed = (whitened(as_pairs(side, y), as_pairs(side, y))[1].x for side in (x, x @ mixing))
    torch.testing.assert_close(plain @ plain.T, mixed @ mixed.T, rtol=0, atol=1e-2)


# 2. The bound.


def test_the_largest_of_several_is_chosen_on_other_folds_than_it_is_read_on():
    terms = torch.tensor([[9.0, 9.0, 0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 3.0, 3.0, 4.0, 4.0]])
    chosen = largest_of(terms, list(torch.arange(6).chunk(3)))
    assert chosen.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    values = torch.stack([largest_of(noise, list(torch.arange(30).chunk(3))).mean() for noise in NOISE])
    assert abs(values.mean()) < 0.05 < NOISE.mean(2).amax(1).mean()


@pytest.mark.parametrize("swapped", [False, True])
def test_the_square_of_a_sum_is_seen_where_neighbours_and_a_copula_see_nothing(swapped):
    sides = squares()[::-1] if swapped else squares()
    posed = problem(*sides)
    value, error = METHOD(posed).estimate
    assert 0.4 * SQUARE < value < SQUARE + 2 * error
    others = {"gaussian_copula": GaussianCopula(), "ksg": KSG(k=3, most=5000, most_wide=1000, widest=99)}
    lines = list(read(others | {"projections": METHOD}, posed, False, lambda _: None))
    assert max(line.estimate.value for line in lines[:2]) < 0.15
    best = recommend(lines, posed)
    assert best.low < SQUARE < best.high == math.inf and "projections, a lower bound" in best.why


def test_a_direction_on_both_sides_is_found():
    x, square = squares(width=12, count=1500)
    y = np.hstack([square, np.random.default_rng(5).standard_normal((1500, 11))])
    value, error = METHOD(problem(x, y @ np.linalg.qr(np.random.default_rng(6).standard_normal((12, 12)))[0])).estimate
    assert 0.4 * SQUARE < value < SQUARE + 2 * error


def test_nothing_is_seen_in_independent_pairs():
    values = []
    for seed in range(10):
        x, y = np.random.default_rng(seed).standard_normal((2, 400, 10))
        value, error = METHOD(problem(x, y)).estimate
        values.append(value / error)
    assert max(values) < 4 and np.mean(values) < 1.5


def test_slow_series_of_several_columns_tell_nothing_of_each_other():
    noise = np.random.default_rng(0).standard_normal((2, 3000, 4))
    slow = np.stack([np.convolve(column, np.ones(30) / 30, "same") for side in noise for column in side.T], 1)
    split = Blocks(**SIZES, blocks=20, gap=60)
    value, error = METHOD(problem(slow[:, :4], slow[:, 4:], split)).estimate
    assert value < 4 * error


# 3. Where it does not serve.


def test_it_is_left_out_where_there_is_nothing_to_project():
    rng = np.random.default_rng(0)
    assert METHOD.refusal(problem(*rng.standard_normal((2, 200, 1)))) == "both sides are single columns"
    assert METHOD.refusal(problem(*rng.standard_normal((2, 200, 31)))) == "more than 60 coordinates"
    assert "counts serve" in METHOD.refusal(problem(*rng.integers(3, size=(2, 500, 2)).astype(float)))
    assert METHOD.refusal(problem(*rng.standard_normal((2, 200, 2)))) is None


@pytest.mark.parametrize(("count", "width"), [(30, 2), (40, 14)])
def test_of_too_few_pairs_nothing_is_read(count, width):
    posed = problem(*np.random.default_rng(0).standard_normal((2, count, width)))
    assert METHOD(posed).estimate.failure() == "it reads nan"


def test_its_ceiling_is_the_log_of_the_pairs_of_a_fold():
    assert METHOD.ceiling(problem(*np.random.default_rng(0).standard_normal((2, 300, 2)))) == math.log(100)
