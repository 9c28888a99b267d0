"""I(x; y | z): class by class where z has few values, else a difference, with the errors of both parts."""

import math

import numpy as np
import pytest

from ssvae_cli.errors import UserError
from ssvae_cli.mi.classical import GaussianCopula
from ssvae_cli.mi.given import combined, difference, given
from ssvae_cli.mi.recommend import Line, Recommended, recommend
from test_mi_recommended import PROBLEM, SPLIT, method


def test_a_difference_of_two_recommended_values_has_both_errors():
    sides = [([method("ksg", v)], recommend([method("ksg", v)], PROBLEM)) for v in (1.5, 1.0)]
    lines, best = difference(sides)
    assert lines[0].estimate.value == pytest.approx(0.5) == best.value
    assert "1.500 nats" in best.why and "1.000 nats" in best.why, "whatever the units of the table"
    assert best.high - best.low == pytest.approx(math.hypot(*(side.high - side.low for _, side in sides)))


def test_a_difference_is_at_most_what_both_tell_even_where_an_interval_is_cut_off():
    """y is the parity of x and z: I((x, z); y) = H(y) = log 2, and z alone tells nothing."""
    both = Recommended(0.69, 0.68, math.log(2), ""), Recommended(0.004, 0.0, 0.009, "")
    assert difference([([], best) for best in both])[1].high == pytest.approx(math.log(2))


def test_where_z_has_few_values_each_is_read_alone():
    """y follows x in one class of three, which nothing shows that takes z for a number."""
    x, noise = np.random.default_rng(0).standard_normal((2, 600))
    z = np.arange(600) % 3
    y = np.where(z == 1, 0.9 * x + math.sqrt(0.19) * noise, noise)
    problems, conclude = given(*(side[:, None] for side in (x, y, z)), SPLIT, 0)
    readings = [GaussianCopula()(problem) for problem in problems]
    lines = [[Line("gaussian_copula", "no bound", math.inf, reading, None)] for reading in readings]
    (line,), best = conclude([(one, recommend(one, problem)) for one, problem in zip(lines, problems)])
    assert len(problems) == 3 and best.low < -math.log(0.19) / 6 < best.high < 0.4
    assert line.estimate.value == pytest.approx(best.value, abs=0.01)
    with pytest.raises(UserError, match="constant in each class of z: .* is 0"):
        given(x[:, None], z[:, None] // 2, z[:, None], SPLIT, 0)


def test_a_difference_of_what_is_not_known_is_not_zero():
    for value in (math.nan, math.inf):
        both = ([], Recommended(value, value, value, "none stands"))
        assert math.isnan(difference([both, both])[1].value)


def test_what_is_infinite_in_a_part_is_infinite_without_an_interval():
    endless, known = Recommended(*[math.inf] * 3, "shared"), Recommended(0.3, 0.2, 0.4, "agreement")
    found = difference([([], endless), ([], known)])[1], combined([(0.5, known), (0.5, endless)], "mean", 0.1)
    assert all((best.value, best.low, best.high) == (math.inf,) * 3 for best in found)
    open_end = known._replace(high=math.inf)
    assert math.isnan(difference([([], endless), ([], open_end)])[1].value)
