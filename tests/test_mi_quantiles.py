"""A single continuous column by its quantile: a lower bound of I (nats) that sees what switches abruptly."""

import math

import numpy as np
import pytest
import torch

from ssvae_cli.mi.quantiles import Quantiles, in_bins
from test_mi_discrete import posed, rng

METHOD = Quantiles(bins=8, rounds=30, most=2000, widest=100)


def switching(count):
    """(x, y, I): the scale of y is 1 or 6 by where x lies on a comb; I by quadrature."""
    x = rng().uniform(size=(count, 3))
    y = np.where(np.sin(20 * x[:, 0]) > 0, 6.0, 1.0) * rng(1).standard_normal(count)
    grid = np.linspace(-60, 60, 200_001)
    normal = [np.exp(-0.5 * (grid / scale) ** 2) / (scale * math.sqrt(2 * math.pi)) for scale in (1.0, 6.0)]
    share = (np.sin(20 * np.linspace(0, 1, 100_001)) > 0).mean()
    p = share * normal[1] + (1 - share) * normal[0]
    entropy = -np.sum(p * np.log(np.maximum(p, 1e-300))) * (grid[1] - grid[0])
    return x, y, entropy - share * math.log(6) - 0.5 * math.log(2 * math.pi * math.e)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_scale_that_switches_is_seen_and_the_bound_lies_below_the_information(swapped):
    x, y, information = switching(2000)
    value, error = METHOD(posed(*((y, x) if swapped else (x, y)))).estimate
    assert 0.3 * information < value < information + 2 * error


def test_of_two_columns_the_better_direction_counts():
    x = rng().uniform(size=1500)
    y = np.sin(40 * x) + 0.2 * rng(1).standard_normal(1500)
    values = [METHOD(posed(*sides)).estimate.value for sides in ((x, y), (y, x))]
    assert values[0] == pytest.approx(values[1], abs=0.05) and values[0] > 0.5


def test_nothing_is_seen_in_noise():
    value, error = METHOD(posed(rng().standard_normal((600, 3)), rng(1).standard_normal(600))).estimate
    assert abs(value) < 3 * error + 0.02


def test_it_reads_a_single_continuous_column_and_no_other():
    column, wide = rng().standard_normal(200), rng(1).standard_normal((200, 2))
    assert "few values" in METHOD.refusal(posed(wide, rng().integers(3, size=200)))
    assert METHOD.refusal(posed(wide, wide + 1)) == "neither side is a single column"
    assert METHOD.refusal(posed(wide, column)) is None
    assert METHOD.refusal(posed(rng().standard_normal((200, 100)), column)) == "more than 100 coordinates"
    assert METHOD.ceiling(posed(wide, column)) == math.log(8)


def test_bins_are_equally_frequent_and_ties_share_one():
    counts = torch.bincount(in_bins(torch.randn(800), 8))
    assert len(counts) == 8 and counts.min() >= 99
    assert len(in_bins(torch.tensor([0.0] * 90 + list(range(1, 11))), 8).unique()) < 8
