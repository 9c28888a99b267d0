"""The tasks of known mutual information: the exact value is that of the distribution that is drawn from."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_t

from ssvae_cli.mi.tasks import Additive, Gaussian, Spiral, Student


def test_gaussian_draws_the_correlation_that_its_mi_means():
    x, y, exact, _ = Gaussian(samples=20_000, dim=4, mi=2.0).draw(np.random.default_rng(0))
    rho = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(x.T, y.T)])
    assert exact == 2.0
    assert -0.5 * np.log(1 - rho**2).sum() == pytest.approx(2.0, abs=0.05)


def test_a_power_is_taken_coordinate_by_coordinate():
    plain, cubed = (Gaussian(samples=50, dim=2, mi=1.0, power=p).draw(np.random.default_rng(1)) for p in (1, 3))
    np.testing.assert_allclose(cubed.x, plain.x**3)
    assert cubed.exact == plain.exact


@pytest.mark.parametrize("dim, df", [(1, 1.0), (3, 2.0)])
def test_students_mi_is_the_mean_of_its_log_ratio(dim, df):
    x, y, exact, _ = Student(samples=40_000, dim=dim, df=df).draw(np.random.default_rng(2))
    one, both = multivariate_t(shape=np.eye(dim), df=df), multivariate_t(shape=np.eye(2 * dim), df=df)
    ratio = both.logpdf(np.hstack([x, y])) - one.logpdf(x.squeeze()) - one.logpdf(y.squeeze())
    assert abs(ratio.mean() - exact) < 4 * ratio.std() / math.sqrt(len(ratio))


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_additive_noise_has_the_entropy_of_the_sum_less_that_of_the_noise(noise):
    def density(y):
        return max(0.0, min(1.0, y + noise) - max(0.0, y - noise)) / (2 * noise)

    entropy = -quad(lambda y: density(y) * math.log(density(y) or 1.0), -noise, 1 + noise, limit=200)[0]
    exact = Additive(samples=10, noise=noise).draw(np.random.default_rng(3)).exact
    assert exact == pytest.approx(entropy - math.log(2 * noise), abs=1e-4)


def test_spiral_turns_each_point_by_an_angle_of_its_own_length():
    plain = Gaussian(samples=50, dim=3, mi=1.0).draw(np.random.default_rng(4))
    wound = Spiral(samples=50, dim=3, mi=1.0, speed=0.3).draw(np.random.default_rng(4))
    np.testing.assert_allclose((wound.x**2).sum(1), (plain.x**2).sum(1))  # so the angle is known, and can be undone
    np.testing.assert_allclose(wound.x[:, 2], plain.x[:, 2])
    assert not np.allclose(wound.x, plain.x)
