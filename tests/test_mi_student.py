"""The Student copula reads what is extreme together, where a Gaussian copula reads no dependence.

1. Its density is a density of the right law, and its fit finds the degrees of freedom and the correlations.
2. Its estimate is the I of Student pairs in closed form, whatever maps the columns, and its interval holds it.
3. It is left out where tails are Gaussian, and sees nothing in pairs that are independent.
"""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t, norm
from scipy.stats import t as student_t

from ssvae_cli.mi import student
from ssvae_cli.mi.classical import GaussianCopula
from ssvae_cli.mi.data import pose
from ssvae_cli.mi.splits import Split
from ssvae_cli.mi.student import DEGREES, StudentCopula, fitted, likeliest, log_density, quantiles
from ssvae_cli.mi.tasks import Student

SPLIT = Split(validation=0.1, test=0.2, at_most=2048, folds=3)
METHOD = StudentCopula(widest=20)


def pairs(degrees, rho, dim=1, count=1000, seed=0):
    """(x, y, I): y correlated with x by rho a dimension, both divided by one random scale."""
    rng = np.random.default_rng(seed)
    x, y, radius, _ = Student(samples=count, dim=dim, df=degrees).draw(rng)
    return x, rho * x + math.sqrt(1 - rho**2) * y, radius - 0.5 * dim * math.log1p(-(rho**2))


def problem(*sides):
    return pose(*sides, SPLIT, 0)


# 1. The density and its fit.


def test_the_density_is_that_of_scipy_and_quantiles_keep_the_tails():
    z, shape = np.random.default_rng(0).standard_normal((50, 3)), np.eye(3) * 0.6 + 0.4
    np.testing.assert_allclose(log_density(z, shape, 2.5), multivariate_t(shape=shape, df=2.5).logpdf(z), rtol=1e-9)
    scores = np.array([[-12.0, 0.0, 0.7, 12.0]])
    expected = [
        student_t.ppf(norm.cdf(-12.0), 3),
        0.0,
        student_t.ppf(norm.cdf(0.7), 3),
        -student_t.ppf(norm.cdf(-12.0), 3),
    ]
    np.testing.assert_allclose(quantiles(scores, 3.0)[0], expected, rtol=1e-9)


def test_an_outlier_of_a_column_that_looks_normal_leaves_the_fit_a_number():
    scores = np.random.default_rng(0).standard_normal((200, 2))
    scores[0] = 42.0, -1e9
    for degrees in DEGREES:
        assert np.isfinite(np.square(quantiles(scores, degrees))).all()
    assert math.isfinite(fitted(scores).likelihood)


@pytest.mark.parametrize("degrees", [1.5, 4.0])
def test_the_fit_finds_the_degrees_of_freedom_and_the_correlations(degrees):
    x, y, _ = pairs(degrees, 0.6, dim=2, count=4000)
    scores = torch.cat(problem(x, y).pairs, 1).numpy()
    found = fitted(scores)
    assert found.degrees == pytest.approx(degrees, rel=0.15)
    expected = np.kron([[1, 0.6], [0.6, 1]], np.eye(2))
    np.testing.assert_allclose(found.shape, expected, atol=0.06)
    nearby = log_density(quantiles(scores, 3 * degrees), found.shape, 3 * degrees)
    alone = sum(student_t.logpdf(quantiles(scores[:, [c]], 3 * degrees)[:, 0], 3 * degrees) for c in range(4))
    assert found.likelihood > (nearby - alone).sum()


def test_of_many_pairs_a_part_finds_the_degrees_and_all_the_correlations(monkeypatch):
    scores = torch.cat(problem(*pairs(3, 0.6, count=4000)[:2]).pairs, 1).numpy()
    whole = fitted(scores)
    monkeypatch.setattr(student, "ENOUGH", 1500)
    of_part = fitted(scores)
    assert of_part.degrees == pytest.approx(fitted(scores[::3]).degrees) != whole.degrees
    assert of_part.degrees == pytest.approx(whole.degrees, rel=0.2)
    np.testing.assert_allclose(of_part.shape, whole.shape, atol=0.02)


# 2. The estimate.


@pytest.mark.parametrize(("degrees", "rho", "dim"), [(2, 0.0, 1), (3, 0.5, 2), (3, 0.4, 5)])
def test_the_estimate_is_the_closed_form_and_its_error_holds_it(degrees, rho, dim):
    apart, gaussian = [], []
    for seed in range(12):
        x, y, exact = pairs(degrees, rho, dim, seed=seed)
        posed = problem(np.exp(x / 9), y**3)
        value, error = METHOD(posed).estimate
        apart.append((value - exact) / error)
        gaussian.append((GaussianCopula()(posed).estimate.value - exact) / error)
    assert np.abs(apart).max() < 3.5 and abs(np.mean(apart)) < 1.0 and np.mean(gaussian) < -1.5


def test_its_error_holds_what_other_tails_than_students_tell_otherwise():
    rng = np.random.default_rng(0)
    scale = np.exp(0.7 * rng.standard_normal((4000, 1)))
    x, y = scale * rng.standard_normal((2, 4000, 3))
    posed = problem(x, y)
    reading = METHOD(posed)
    value, error = reading.estimate
    assert 0 < 0.328 - value < 2 * error < 0.1, "I by quadrature over the scale"
    assert 0.328 - value > 2 * posed.mean(reading.terms).error


def test_the_lower_bound_lies_below_the_estimate_and_near_it():
    reading = METHOD(problem(*pairs(3, 0.5, 2)[:2]))
    assert reading.terms.mean().item() == pytest.approx(reading.estimate.value)
    assert -3 * reading.bound.error < reading.estimate.value - reading.bound.value < 0.1


def test_one_scale_of_all_columns_is_seen_where_the_links_of_single_columns_are_not():
    x, y, exact = pairs(3, 0.4, 5, count=120, seed=1)
    posed = problem(x, y)
    assert sum(side.shape[1] for side in posed.linked) < 10
    assert likeliest(posed)[0] is posed.pairs
    value, error = METHOD(posed).estimate
    assert abs(value - exact) < 2.5 * error


def test_columns_that_the_scale_leaves_alone_are_left_out():
    rng = np.random.default_rng(0)
    x, y, exact = pairs(2, 0.3, 1)
    posed = problem(np.hstack([x, rng.standard_normal((1000, 8))]), np.hstack([y, rng.uniform(size=(1000, 8))]))
    assert likeliest(posed)[0].x.shape[1] < 4
    value, error = METHOD(posed).estimate
    assert abs(value - exact) < 3 * error


# 3. Where it does not serve.


def test_it_is_left_out_of_gaussian_tails_and_of_too_many_columns():
    rng = np.random.default_rng(0)
    x, noise = rng.standard_normal((2, 1000, 3))
    assert "heavier tails" in METHOD.refusal(problem(x, x + noise))
    assert METHOD.refusal(problem(*pairs(2, 0.5, 3)[:2])) is None
    assert METHOD.refusal(problem(*rng.standard_normal((2, 100, 11)))) == "more than 20 coordinates"


def test_heavy_tails_of_a_side_alone_are_no_dependence():
    x, y, _ = pairs(1.5, 0.0, 3, count=2000)
    posed = problem(x, np.roll(y, 1000, axis=0))
    assert METHOD.refusal(posed) is None
    value, error = METHOD(posed).estimate
    assert value < 0.05 + 2 * error


def test_of_fewer_pairs_than_coordinates_nothing_is_read():
    posed = problem(*np.random.default_rng(0).standard_normal((2, 15, 8)))
    assert METHOD.refusal(posed) is None and METHOD(posed).estimate.failure() == "it reads nan"
