"""KSG where one side oscillates over the other: neighbours see it once x is stretched against y, which moves no I.

1. A wave is read in the stretch that it needs, whichever side it is of, and more of it than without.
2. Where a stretch shows nothing more there is none: of smooth and of independent pairs, and of wide components.
"""

import numpy as np
import pytest
import torch

from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.classical import KSG, ksg, stretch
from ssvae_cli.mi.data import pose
from ssvae_cli.mi.splits import Split
from ssvae_cli.mi.tasks import Gaussian

SPLIT = Split(validation=0.1, test=0.2, at_most=2048, folds=3)
METHOD = KSG(k=3, most=5000, most_wide=1000, widest=99)
WAVE = 1.154  # I of a uniform x and sin(2 pi f x) + e / 5 for whole f, nats, by quadrature


def wave(frequency, count=800, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(count, 1))
    return x, np.sin(2 * np.pi * frequency * x) + 0.2 * rng.standard_normal((count, 1))


def problem(*sides):
    return pose(*sides, SPLIT, 0)


def chosen(posed):
    return stretch(posed, posed.pairs, 3)


# 1. Waves.


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("frequency", [5, 10, 20])
def test_a_wave_is_read_in_the_stretch_that_it_needs(frequency, swapped):
    posed = problem(*wave(frequency)[:: -1 if swapped else 1])
    value, error = METHOD(posed).estimate
    plain = ksg(posed.pairs).mean().item()
    assert 0.6 * WAVE < value < WAVE + 3 * error and value > plain + 0.15
    assert chosen(posed) < 1 if swapped else chosen(posed) > 1


def test_a_stretch_moves_no_information():
    """Of a linear dependence every stretch reads the same but for its bias, and 1 the most."""
    posed = problem(*Gaussian(samples=4000, dim=1, mi=0.5, power=1).draw(np.random.default_rng(0))[:2])
    values = [ksg(Pairs(posed.pairs.x * factor, posed.pairs.y)).mean().item() for factor in (1 / 4, 1, 4)]
    assert values == pytest.approx([0.5] * 3, abs=0.08)


def test_growth_is_of_the_same_stretch():
    reading = METHOD(problem(*wave(10)))
    assert reading.growth[0].value < 0.25 and reading.growth[0].value < reading.estimate.value


# 2. No wave.


def test_independent_and_smooth_pairs_are_not_stretched():
    for seed in range(20):
        x, noise = np.random.default_rng(seed).standard_normal((2, 400, 1))
        assert chosen(problem(x, noise)) == chosen(problem(x, x + noise)) == 1
    posed = problem(x, x + noise)
    torch.testing.assert_close(METHOD(posed).estimate.value, ksg(posed.pairs).mean().item())


def test_a_wide_component_is_not_stretched(monkeypatch):
    monkeypatch.setattr("ssvae_cli.mi.classical.stretch", lambda *_: pytest.fail("stretched"))
    x, noise = np.random.default_rng(0).standard_normal((2, 300, 4))
    METHOD(problem(x, x @ np.ones((4, 4)) + 0.1 * noise))
