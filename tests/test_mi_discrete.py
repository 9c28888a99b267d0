"""`ssvae mi` on atoms: integer codes, labels, ties.

1. Ties are broken at random: columns become normal, and the codes can still be read from them.
2. Counts and classifiers read I of sides with few values, never above the entropy of such a side.
3. Copies are left out; codes that repeat are no copies.
"""

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from scipy.stats import nbinom

from ssvae_cli.mi.classical import KSG
from ssvae_cli.mi.columns import (
    classes,
    codes_of_indicators,
    constant,
    copied,
    differ_between,
    follow_each_other,
    scores,
    tied,
)
from ssvae_cli.mi.data import informative, pose
from ssvae_cli.mi.discrete import Classifier, Counts, entropy, mixture, upper_bound
from ssvae_cli.mi.recommend import Line, recommend
from ssvae_cli.mi.splits import Split

SPLIT = Split(validation=0.1, test=0.2, at_most=2048, folds=3)


def posed(x, y):
    table = lambda side: np.asarray(side, float).reshape(len(side), -1)
    return pose(table(x), table(y), SPLIT, 0)


def rng(seed=0):
    return np.random.default_rng(seed)


# 1. Columns.


def test_an_atom_is_spread_over_its_share_and_can_be_read_back():
    values = rng().integers(3, size=(3000, 1)).astype(float)
    spread = scores(values, rng(1)).numpy()
    assert len(np.unique(spread)) == 3000 and abs(spread.std() - 1) < 0.01
    order = spread[:, 0].argsort()
    assert (np.diff(values[order, 0]) >= 0).all()


def test_a_column_that_looks_normal_is_only_standardised():
    normal, other = rng().standard_normal((2000, 1)), rng().exponential(size=(2000, 1))
    straight, bent = (np.corrcoef(v[:, 0], scores(v, rng())[:, 0].numpy())[0, 1] for v in (normal, other))
    assert straight == pytest.approx(1, abs=1e-12) and bent < 0.95


@pytest.mark.parametrize("values, share", [(np.arange(10.0), 0), (np.zeros(10), 1), (np.r_[0, 0, 1.0, 2.0], 0.5)])
def test_the_share_of_tied_rows(values, share):
    assert tied(values) == share


def test_classes_are_the_distinct_rows_if_they_are_few():
    codes = rng().integers(2, size=(100, 2)).astype(float)
    assert classes(codes).unique().tolist() == [0, 1, 2, 3]
    assert classes(rng().standard_normal((100, 1))) is None
    assert constant(np.column_stack([codes, np.ones(100)])).tolist() == [2]
    drops = np.where(rng(1).uniform(size=(500, 1)) < 0.06, rng().standard_normal((500, 1)), 0)
    assert classes(drops) is None and len(np.unique(drops)) < 64


# 2. Estimates.


def test_the_entropy_of_counts_has_little_bias():
    values = [entropy(torch.bincount(torch.from_numpy(rng(i).integers(10, size=60)))) for i in range(200)]
    assert np.mean(values) == pytest.approx(math.log(10), abs=0.01)  # the plug-in reads 0.08 less


def test_counts_read_a_flipped_bit():
    x = rng().integers(2, size=4000)
    y = x ^ (rng(1).uniform(size=4000) < 0.1)
    value, error = Counts()(posed(x, y)).estimate
    exact = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    assert abs(value - exact) < 3 * error < 0.1


def test_equal_labels_share_their_entropy_and_are_not_called_infinite():
    labels = rng().integers(5, size=1000)
    problem = posed(labels, labels * 7)
    best = recommend([Line("counts", "equal", math.inf, Counts()(problem), None)], problem)
    assert best.value == pytest.approx(math.log(5), abs=0.01) and best.low < best.value
    assert best.high <= math.log(5)


def test_the_interval_of_equal_labels_holds_their_entropy_and_not_only_that_of_the_sample():
    exact, held = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)), 0
    for seed in range(20):
        labels = rng(seed).uniform(size=500) < 0.1
        problem = posed(labels, labels)
        best = recommend([Line("counts", "equal", math.inf, Counts()(problem), None)], problem)
        held += best.low < exact < best.high
        assert best.value <= upper_bound(problem)
    assert held >= 17


def test_the_interval_of_counts_with_a_long_tail_holds_what_their_rare_combinations_hide():
    """Negative binomial counts that share a rate: most combinations occur often, and the rest hardly ever."""
    rate, levels = np.exp(0.5 + 0.8 * np.linspace(-4, 4, 81)), np.arange(150)
    weight = np.exp(-(np.linspace(-4, 4, 81) ** 2) / 2) / np.exp(-(np.linspace(-4, 4, 81) ** 2) / 2).sum()
    given = nbinom.pmf(levels, 2, (2 / (2 + rate))[:, None])
    both = (given * weight[:, None]).T @ given
    exact = (both * np.log(both / np.outer(both.sum(0), both.sum(1)))).sum()
    intervals = []
    for seed in range(20):
        rates = rng(seed).choice(rate, 300, p=weight)
        problem = posed(*(rng([seed, side]).negative_binomial(2, 2 / (2 + rates)) for side in (1, 2)))
        assert problem.countable
        intervals.append(recommend([Line("counts", "equal", math.inf, Counts()(problem), None)], problem))
    assert sum(best.low < exact < best.high for best in intervals) >= 18
    assert all(best.high < 0.8 for best in intervals)


def test_a_classifier_is_nearly_calibrated_and_below_the_entropy_of_the_labels():
    labels = rng().integers(4, size=1500)
    x = 3.0 * rng(1).standard_normal((4, 2))[labels] + rng(2).standard_normal((1500, 2))
    problem = posed(x, labels)
    reading, ross = Classifier(rounds=20, most=10**6)(problem), KSG(k=3, most=5000, most_wide=1000, widest=100)(problem)
    assert ross.estimate.value - 0.1 < reading.estimate.value < upper_bound(problem) + 0.01


def test_two_sides_whose_combinations_are_too_rare_to_count_are_told_by_a_classifier():
    x, other = rng().integers(60, size=(2, 600))
    y = np.where(rng(1).uniform(size=600) < 0.6, rng(2).permutation(60)[x], other)
    problem = posed(x, y)
    assert Counts().refusal(problem) and Classifier(rounds=20, most=10**6).refusal(problem) is None
    low = Classifier(rounds=20, most=10**6)(problem).estimate.value
    same, rare = 0.6 + 0.4 / 60, 0.4 / 60  # p(y | x) of the value that x names, and of each of the others
    assert 0.9 < low < same * math.log(60 * same) + 59 * rare * math.log(60 * rare)


def test_a_hundred_labels_are_classes_as_numbers_and_one_hot():
    labels = rng().integers(100, size=1500)
    x = 1.5 * rng(1).standard_normal((100, 10))[labels] + rng(2).standard_normal((1500, 10))
    problem, one_hot = posed(x, labels), posed(np.eye(100)[labels], rng(3).permutation(100)[labels])
    bound = Classifier(rounds=20, most=10**5)(problem)
    assert 2.5 < bound.estimate.value < math.log(100) and bound.terms is None  # of a part of the pairs
    assert one_hot.countable and Counts()(one_hot).estimate.value == pytest.approx(math.log(100), abs=0.05)


def test_over_256_labels_are_counted_as_numbers_and_one_hot():
    """As columns of indicators, of which neighbours and densities see little, 5.7 nats were read as 0.2."""
    labels, code = rng().integers(300, size=6000), rng(3).permutation(300)
    one_hot = [informative(np.eye(300)[side], "x") for side in (labels, code[labels])]
    for problem in (posed(labels, code[labels]), posed(*one_hot)):
        assert problem.countable and Classifier(rounds=20, most=10**6).refusal(problem) == "no side has few values"
        assert Counts()(problem).estimate.value == pytest.approx(math.log(300), abs=0.01)


def test_indicators_become_codes_one_for_each_distinct_row_and_other_columns_stay():
    labels = rng().integers(300, size=3000)
    table = np.eye(300)[labels]
    for indicators in (table, table[:, 1:], 5 * table - 2):  # with a reference class, and of other values
        codes = codes_of_indicators(indicators)
        assert codes.shape == (3000, 1) and len({*zip(labels, codes[:, 0])}) == len({*labels}) == len({*codes[:, 0]})
    for other in (table[:, :256], 1 - table, rng().standard_normal((500, 300)), table + np.roll(table, 1, 0)):
        assert codes_of_indicators(other) is other


def test_a_classifier_finds_nothing_in_noise():
    problem = posed(rng().standard_normal((600, 3)), rng(1).integers(3, size=600))
    value, error = Classifier(rounds=20, most=10**6)(problem).estimate
    assert abs(value) < 3 * error + 0.02


def test_a_mixture_is_at_least_as_likely_as_its_best_part():
    likelihood = torch.rand(3, 500, generator=torch.Generator().manual_seed(0)).double()
    assert mixture(likelihood).log().mean() >= likelihood.log().mean(1).max() - 1e-6


@pytest.mark.parametrize("kind", ["counts", "dropped", "rounded"])
def test_ties_do_not_disturb_neighbours(kind):
    x, noise = rng().standard_normal((2, 3000))
    y = 0.8 * x + 0.6 * noise
    gaussian = -0.5 * math.log(1 - 0.64)
    cases = {
        "counts": (rng().poisson(3, 3000), None, 0.782),
        "dropped": (x, np.where(rng(1).uniform(size=3000) < 0.4, 0, y), 0.6 * gaussian),
        "rounded": (np.round(x, 1), np.round(y, 1), gaussian),
    }
    x, y, exact = cases[kind]
    y = x + rng(1).poisson(1, 3000) if y is None else y
    value, error = KSG(k=3, most=5000, most_wide=1000, widest=100)(posed(x, y)).estimate
    assert abs(value - exact) < 3 * error + 0.03


# 3. Rows.


def test_rows_drawn_twice_are_copies_and_codes_are_not():
    x = rng().standard_normal((300, 2))
    drawn = rng(1).integers(300, size=300)
    assert len(copied(x)) == 0
    assert len(copied(x[drawn], x[drawn])) == 300 - len(np.unique(drawn))
    for few in (rng().integers(4, size=(300, 2)).astype(float), np.round(5 * x)):
        assert len(copied(few)) == 0
    zeros = np.where(rng().uniform(size=(300, 1)) < 0.4, 0, x)
    assert len(copied(zeros)) == 0, "an atom repeats"
    codes = rng().integers(30, size=(100, 1)) / 10
    assert len(copied(codes, codes % 1 < 0.5)) == 0, "a function of a code repeats as it does"


def test_an_atom_with_a_rare_code_is_no_copy():
    """Such as a zero of a zero-inflated column, with a count: each combination occurs a few times."""
    x = np.where(rng().uniform(size=(3000, 1)) < 0.1, 0, rng(1).standard_normal((3000, 1)))
    codes = rng(2).geometric(0.1, (3000, 1))
    assert len(copied(x, codes)) == 0
    drawn = rng(3).integers(1500, size=3000)
    repeats = 3000 - len(np.unique(drawn))
    assert 0.8 * repeats < len(copied(x[drawn], codes[drawn])) < repeats


@pytest.mark.parametrize("digits", [2, 3])
def test_rounded_numbers_repeat_by_chance_and_are_copies_where_they_repeat_more_often(digits):
    """Prices in cents with a label that is a function of them."""
    x = np.round(np.exp(rng().standard_normal((2000, 1))), digits)
    assert len(np.unique(x)) < 1900 and len(copied(x, x > 3)) == 0
    drawn = rng(1).integers(300, size=300)
    x = np.round(np.exp(rng().standard_normal((300, 1))), 4)
    assert len(copied(x[drawn], x[drawn] > 3)) == 300 - len(np.unique(x[drawn]))


def test_rows_that_follow_each_other_are_seen():
    x = rng().standard_normal((1000, 1))
    assert follow_each_other(torch.from_numpy(np.sort(x, 0))) and not follow_each_other(torch.from_numpy(x))


@pytest.mark.parametrize("memory, seen", [(0.0, False), (0.99, False), (1.0, True)])
def test_blocks_that_depend_on_each_other_are_seen(memory, seen):
    noise = np.random.default_rng(0).standard_normal((20_000, 1))
    series = torch.from_numpy(lfilter([1], [1, -memory], noise, axis=0))
    assert differ_between(series, torch.arange(20_000) // 1000) == seen
