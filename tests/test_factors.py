"""Scores of known factors: exact where the answer is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssvae_cli.datasets.base import Factor
from ssvae_cli.evaluation.dci import completeness, dci, disentanglement
from ssvae_cli.evaluation.factors import Factors, linear_r2, matched_correlations
from ssvae_cli.evaluation.linear_probe import LinearProbe
from ssvae_cli.tracking.missing import Missing


def test_r2_is_one_for_a_linear_map_a_half_under_as_much_noise_and_nothing_for_chance():
    x = torch.randn(4000, 6)
    factors = torch.stack([x[:, 0] - 2 * x[:, 1] + 3, x[:, 2] + torch.randn(4000), torch.randn(4000)], 1)
    r2 = linear_r2(x[:3000], factors[:3000], x[3000:], factors[3000:])
    assert r2 == pytest.approx([1, 0.5, 0], abs=0.05) and r2[0] > 0.999


def test_one_factor_alone_has_an_r2():
    x = torch.randn(100, 3)
    assert linear_r2(x, x[:, :1], x, x[:, :1]).shape == (1,)


def test_the_r2_of_a_factor_is_the_same_whatever_the_units_of_the_others():
    """With about as many latents as rows noise needs a large penalty, and a linear map none."""
    x, x_test = torch.randn(60, 50), torch.randn(200, 50)
    noise, direction = torch.randn(260), torch.randn(50)
    for unit in (1e-3, 1.0, 1e3):
        factors = torch.stack([torch.cat([x, x_test]) @ direction, unit * noise], 1)
        r2 = linear_r2(x, factors[:60], x_test, factors[60:])
        assert r2[0] > 0.99 and -0.5 < r2[1] < 0.1


def test_the_mcc_of_latents_in_another_order_and_sign_is_one():
    factors = torch.randn(200, 3)
    z = torch.stack([torch.randn(200), -factors[:, 2], 5 * factors[:, 0], factors[:, 1] + 1], 1)
    assert matched_correlations(z, factors) == pytest.approx([1, 1, 1])


def test_no_latent_serves_two_factors():
    factor = torch.randn(200, 1)
    assert sorted(matched_correlations(factor, factor.expand(-1, 2))) == pytest.approx([0, 1])


def test_a_dead_latent_correlates_with_nothing():
    assert matched_correlations(torch.ones(50, 2), torch.randn(50, 2)) == pytest.approx([0, 0], abs=1e-6)


# DCI.


def split_up(z, *factors):
    """z and the factors, each [3 N, ...], by split."""
    parts = ("train", "validation", "test")
    cut = lambda x: dict(zip(parts, np.array_split(np.asarray(x, float), 3)))
    targets = [cut(np.asarray(f, float).reshape(len(f), -1)) for f in factors]
    return cut(z), {part: [target[part] for target in targets] for part in parts}


RNG = np.random.default_rng(0)
U, V, NOISE = RNG.normal(size=(3, 6000))


def test_latents_that_are_the_factors_are_disentangled_complete_and_informative():
    scores = dci(*split_up(np.stack([-2 * V, NOISE, U + 3], 1), U, V))
    assert scores == pytest.approx((1, 1, 1), abs=0.02)


def test_a_latent_that_serves_both_factors_is_not_disentangled_and_a_factor_on_two_latents_not_complete():
    turned = dci(*split_up(np.stack([U + V, U - V], 1), U, V))
    assert turned == pytest.approx((0, 0, 1), abs=0.02)
    doubled = dci(*split_up(np.stack([U + 0.1 * NOISE, U - 0.1 * NOISE, V], 1), U, V))
    assert doubled.disentanglement == pytest.approx(1, abs=0.02)
    assert doubled.completeness == pytest.approx((1 + 1 - math.log(2) / math.log(3)) / 2, abs=0.05)


def test_the_entropies_are_those_of_the_paper():
    importance = np.array([[3.0, 1.0], [0.0, 4.0]])  # two latents, two factors
    row = 1 + (0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    column = 1 + (0.2 * math.log(0.2) + 0.8 * math.log(0.8)) / math.log(2)
    assert disentanglement(importance) == pytest.approx(0.5 * row + 0.5)
    assert completeness(importance) == pytest.approx((1 + column) / 2)


def test_informativeness_is_the_explained_variance_of_numbers_and_of_classes():
    kinds = (U > 0).astype(int)
    noisy = dci(*split_up(np.stack([U + NOISE, V], 1), U, V))
    assert noisy.informativeness == pytest.approx(0.75, abs=0.03)
    classes = dci(*split_up(np.stack([2.0 * kinds, V], 1), np.eye(2)[kinds], V))
    assert classes == pytest.approx((1, 1, 1), abs=0.02)


def test_where_there_is_nothing_to_divide_dci_says_so():
    one = dci(*split_up(np.stack([U, V], 1), U))
    assert isinstance(one.disentanglement, Missing) and one.completeness == pytest.approx(1, abs=0.02)
    assert isinstance(dci(*split_up(U[:, None], U, V)).completeness, Missing)
    dead = dci(*split_up(np.ones((6000, 2)), U, V))
    assert isinstance(dead.disentanglement, Missing) and isinstance(dead.completeness, Missing)
    assert dead.informativeness == pytest.approx(0, abs=0.01)


# The metric: of z first, with the untrained encoder beside it, by group and one by one.


class FakeReading:
    """z and features of known quality; half of the factors are read by the untrained encoder's z."""

    def __init__(self, columns, factors, z, features, untrained=None):
        self.data = SimpleNamespace(factors=columns)
        cut = lambda x: dict(zip(("train", "validation", "test"), torch.as_tensor(x).chunk(3)))
        self.factors, self.codes, self.features = (cut(x).__getitem__ for x in (factors, z, features))
        self.untrained = untrained


def metric():
    return Factors(probe=LinearProbe(penalties=[1e-3], max_iterations=100, tolerance=1e-4, compared=1000))


def test_factors_are_scored_from_z_and_from_features_in_all_by_group_and_one_by_one():
    kinds = (NOISE > 0).astype(float)
    columns = (Factor("u", group="content"), Factor("v", group="style"), Factor("kind", 2, "content"))
    factors = np.stack([U, V, kinds], 1)
    untrained = FakeReading(columns, factors, np.stack([V, V**2], 1), factors)
    values = metric()(FakeReading(columns, factors, np.stack([U, kinds], 1), np.stack([U, V], 1), untrained), "test")
    close = lambda expected: pytest.approx(expected, abs=0.03)
    first = ["r2_z/test", "r2_z/random_init", "mcc/test", "mcc/random_init", "accuracy_z/test"]
    assert list(values)[:5] == [f"factors/{name}" for name in first]
    assert values["factors/r2_z/test"] == close(0.5) == values["factors/r2_z/random_init"]
    assert values["factors/r2/test"] == close(1) and values["factors/accuracy/test"] == pytest.approx(0.5, abs=0.05)
    assert values["factors/accuracy_z/test"] == values["factors/accuracy_z/kind/test"] == close(1)
    assert values["factors/accuracy_z/content/test"] == close(1) and "factors/accuracy_z/style/test" not in values
    assert values["factors/r2_z/content/test"] == values["factors/r2_z/u/test"] == close(1)
    assert values["factors/r2_z/style/test"] == values["factors/r2_z/v/test"] == close(0)
    assert values["factors/mcc/content/test"] == close(1) and values["factors/mcc/test"] == pytest.approx(0.5, abs=0.05)


def test_a_factor_that_does_not_vary_is_left_out_of_the_means_and_missing_alone():
    columns = (Factor("u"), Factor("still"))
    values = metric()(FakeReading(columns, np.stack([U, 0 * U], 1), np.stack([U, V], 1), np.stack([U, V], 1)), "test")
    assert values["factors/r2_z/test"] == pytest.approx(1, abs=0.01)
    assert "factor still is constant" in values["factors/r2_z/still/test"].reason
    assert isinstance(values["factors/disentanglement/test"], Missing) and values["factors/accuracy/test"] is None
    assert "factors/r2_z/random_init" not in values


def test_no_score_of_nothing():
    still, z = np.zeros((60, 1)), np.random.default_rng(0).normal(size=(60, 2))
    values = metric()(FakeReading((Factor("kind", 3),), still, z, z), "test")
    asked = ("accuracy_z", "accuracy", "completeness")
    assert all(isinstance(values[f"factors/{name}/test"], Missing) for name in asked)
    assert values["factors/r2_z/test"] is None and values["factors/mcc/test"] is None
    values = metric()(FakeReading((), np.zeros((6, 0)), z, z), "test")
    assert set(values.values()) == {None} and len(values) == 8


def test_a_score_of_0_is_a_number():
    mixed = np.stack([U + V, U - V], 1)
    importance = np.ones((2, 2))
    assert disentanglement(importance) == pytest.approx(0, abs=1e-12)
    values = metric()(FakeReading((Factor("u"), Factor("v")), np.stack([U, V], 1), mixed, mixed), "test")
    assert values["factors/disentanglement/test"] == pytest.approx(0, abs=0.02)
