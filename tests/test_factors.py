"""Scores of known factors: exact where the answer is known."""

import pytest
import torch

from ssvae_cli.evaluation.factors import linear_r2, mean_correlation


def test_r2_is_one_for_a_linear_map_a_half_under_as_much_noise_and_nothing_for_chance():
    x = torch.randn(4000, 6)
    factors = torch.stack([x[:, 0] - 2 * x[:, 1] + 3, x[:, 2] + torch.randn(4000), torch.randn(4000)], 1)
    r2 = linear_r2(x[:3000], factors[:3000], x[3000:], factors[3000:])
    assert r2 == pytest.approx([1, 0.5, 0], abs=0.05) and r2[0] > 0.999


def test_one_factor_alone_has_an_r2():
    x = torch.randn(100, 3)
    assert linear_r2(x, x[:, :1], x, x[:, :1]).shape == (1,)


def test_the_mcc_of_latents_in_another_order_and_sign_is_one():
    factors = torch.randn(200, 3)
    z = torch.stack([torch.randn(200), -factors[:, 2], 5 * factors[:, 0], factors[:, 1] + 1], 1)
    assert mean_correlation(z, factors) == pytest.approx(1)


def test_no_latent_serves_two_factors():
    factor = torch.randn(200, 1)
    assert mean_correlation(factor, factor.expand(-1, 2)) == pytest.approx(0.5)


def test_a_dead_latent_correlates_with_nothing():
    assert mean_correlation(torch.ones(50, 2), torch.randn(50, 2)) == pytest.approx(0, abs=1e-6)
