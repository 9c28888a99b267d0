"""The one value that `ssvae mi` recommends.

1. What diverged is a failure, never a number.
2. The recommended value says why it is the one, and its interval is as wide as what disagrees.
"""

import math
from dataclasses import replace

import pytest
import torch

from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.problem import Problem, Reading
from ssvae_cli.mi.recommend import Line, recommend
from test_mi import SPLIT


def test_the_jackknife_error_of_a_mean_is_its_standard_error():
    table = torch.randn(10, 10, generator=torch.Generator().manual_seed(0)).double()
    estimate = Estimate.of_table(lambda t: t.diagonal().mean(), table)
    terms = table.diagonal()
    assert estimate.value == pytest.approx(terms.mean().item())
    assert 1.96 * estimate.error == pytest.approx(2.2622 * (terms.std() / math.sqrt(10)).item(), rel=1e-4)


def test_an_interval_of_ten_tenths_holds_the_truth_as_often_as_it_says():
    tables = torch.randn(1000, 40, 1, generator=torch.Generator().manual_seed(0)).double()
    estimates = [Estimate.of_table(lambda t: t[:, 0].mean(), table.expand(40, 40)) for table in tables]
    held = [abs(value) < 1.96 * error for value, error in estimates]
    assert 0.935 < sum(held) / len(held) < 0.965  # 1.96 plain jackknife errors: 0.91


FAILURES = [(math.nan, 0.1, "reads nan"), (math.inf, 0.1, "reads inf"), (1.0, math.nan, "too few pairs")]
FAILURES += [
    (-78.9, 43.9, "diverged"),
    (8.1, 6.2, "diverged"),
    (-1656.0, 100.0, "diverged"),
    (3.0, 40.0, "diverged"),
    (2.0, 0.0, "nothing varies"),
]


@pytest.mark.parametrize("value, error, said", FAILURES)
def test_what_is_no_estimate_says_why(value, error, said):
    assert said in Estimate(value, error).failure()


@pytest.mark.parametrize("value, error", [(0.0, 0.01), (-0.02, 0.01), (5.0, 0.4), (-0.4, 0.1)])
def test_an_estimate_near_zero_or_of_moderate_error_stands(value, error):
    assert Estimate(value, error).failure() is None


PROBLEM = Problem(Pairs(*torch.zeros(2, 1000, 1)), (None, None), [], SPLIT, 0)


def method(name, value, error=0.02, growth=0.0, shuffled=0.0):
    """A line of what may be recommended."""
    reading = Reading(Estimate(value, error), growth=(Estimate(growth, 0.01),))
    return Line(name, "no bound", math.inf, reading, Estimate(shuffled, 0.01))


def bound(value, error=0.02, ceiling=7.0):
    """A line of a lower bound."""
    return Line("infonce", "lower bound", ceiling, Reading(Estimate(value, error)), Estimate(0.0, 0.01))


def test_what_agrees_is_averaged_and_what_disagrees_widens_the_interval():
    near, far = (recommend([method("ksg", 1.0), method("entropies", other)], PROBLEM) for other in (1.02, 1.1))
    assert near.low < 1 < near.value < 1.02 < near.high and near.why == "agreement of ksg, entropies"
    assert far.high - far.low > 1.3 * (near.high - near.low) and far.low < 1 and far.high > 1.1


def test_what_lies_far_below_another_is_left_out_as_most_methods_err_downward():
    best = recommend([method("ksg", 1.0), method("entropies", 1.5)], PROBLEM)
    assert best.why == "entropies alone stands" and best.low > 1.3


def test_what_lies_below_a_lower_bound_is_not_recommended():
    best = recommend([method("ksg", 1.0), method("entropies", 2.0), bound(1.9)], PROBLEM)
    assert best.why == "entropies alone stands" and best.value == pytest.approx(2.0, abs=0.01)


def test_an_interval_begins_no_lower_than_a_bound_and_never_above_its_value():
    wide, narrow = (recommend([method("ksg", 1.0, error=0.4), bound(value)], PROBLEM) for value in (0.9, 1.3))
    assert wide.low == pytest.approx(0.9 - 3 * 0.02) and wide.low < wide.value < wide.high
    assert narrow.low <= narrow.value and narrow.low == pytest.approx(1.3 - 3 * 0.02, abs=0.03)


def test_a_candidate_that_a_bound_lifts_is_as_unsure_as_both():
    lifted, free = (recommend([method("ksg", v, error=0.1), bound(1.2, error=0.1)], PROBLEM) for v in (1.01, 1.1))
    assert lifted.value == pytest.approx(free.value, abs=0.01) == pytest.approx(1.1, abs=0.01)
    assert 1.3 < (lifted.high - lifted.value) / (free.high - free.value) < 1.42


def test_where_only_a_bound_stands_the_interval_has_one_side():
    best = recommend([method("ksg", 1.0), bound(1.9)], PROBLEM)
    assert best.high == math.inf and best.low == pytest.approx(1.9 - 1.64 * 0.02) and "a lower bound" in best.why


def test_what_reads_dependence_on_shuffled_pairs_is_not_recommended():
    best = recommend([method("ksg", 1.0), method("entropies", 2.0, shuffled=0.5)], PROBLEM)
    assert best.why == "ksg alone stands"


def test_what_still_grows_is_carried_on_and_asks_for_more_pairs():
    settled, growing = (recommend([method("ksg", 1.0, growth=g)], PROBLEM) for g in (0.0, 0.3))
    assert growing.value > 1.1 and growing.high > 1.3 and "more pairs are needed" in growing.why
    assert settled.high < 1.1 and "more pairs" not in settled.why


@pytest.mark.parametrize(
    ("growth", "ordered", "said"),
    [((0.69, 0.7), False, "no noise"), ((0.5, 0.6), True, "no noise"), ((0.34, 0.35), False, "more pairs are needed")],
)
def test_what_does_not_settle_as_the_number_of_pairs_doubles_has_no_upper_end(growth, ordered, said):
    reading = Reading(Estimate(5.0, 0.02), growth=tuple(Estimate(value, 0.02) for value in growth))
    best = recommend([Line("ksg", "no bound", math.inf, reading, None)], replace(PROBLEM, ordered=ordered))
    assert best.high == math.inf and said in best.why and 4 < best.low < 5


@pytest.mark.parametrize(("growth", "end"), [((0.14, 0.05), math.inf), ((0.14, 0.3), 1.2), ((0.06, 0.03), 0.5)])
def test_neighbours_that_only_begin_to_see_an_oscillation_show_no_upper_end(growth, end):
    reading = Reading(Estimate(0.2, 0.03), growth=tuple(Estimate(value, 0.03) for value in growth))
    best = recommend([Line("ksg", "no bound", math.inf, reading, None)], PROBLEM)
    assert best.high <= end and math.isinf(best.high) == math.isinf(end)


def test_few_pairs_hardly_show_an_upper_end():
    """At 20 pairs the methods that stand read the angle of a circle, of 1 nat, as .3: what is not normal is unseen."""
    enough, few, fewest = (recommend([method("ksg", 0.5)], PROBLEM.rows(torch.arange(n))) for n in (50, 49, 23))
    assert few.high - 0.5 == pytest.approx(2 * (enough.high - 0.5), abs=0.01) and few.low == pytest.approx(
        enough.low, abs=0.01
    )
    assert fewest.high == math.inf and fewest.why == "ksg alone stands; 24 pairs are needed for an upper end"


def test_an_estimate_that_says_nothing_widens_no_interval():
    wild = method("entropies", 1.5, growth=8.0)
    assert recommend([method("ksg", 1.0), wild], PROBLEM).high < 2 < wild.estimate.value + 8


def test_an_interval_has_a_width_and_lies_between_what_i_can_be():
    labels = torch.arange(1000) % 2
    best = recommend([method("ksg", 0.69, error=0.01)], Problem(PROBLEM.pairs, (labels, None), [], SPLIT, 0))
    assert 0 < best.low < best.high <= math.log(2)
    assert recommend([method("ksg", -0.05)], PROBLEM).high > 0


@pytest.mark.parametrize("most", [-1e5, -0.03])
def test_nothing_is_recommended_where_nothing_stands(most):
    best = recommend([bound(most), method("entropies", math.nan)], PROBLEM)
    assert math.isnan(best.value) and "no estimate stands" in best.why


def test_an_estimate_at_its_ceiling_is_warned_of():
    assert "ceiling of 4.16 nats" in bound(3.9, ceiling=math.log(64)).note(), "whatever the units of the table"
    assert bound(2.0, ceiling=math.log(64)).note() == ""
