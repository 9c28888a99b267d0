"""Estimators on scores: claims that hold for any f.

1. K-way InfoNCE never exceeds log K, and leave-one-out does: it is no bound.
2. Scores of 1e4 overflow nothing, in value or in gradient.
3. Values and gradients equal a plain reference written out pair by pair, in float64.
"""

import math

import pytest
import torch

from ssvae_cli.estimators.dv import DV
from ssvae_cli.estimators.entropy import logdet_bias, whiten
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.estimators.limit import Limit
from ssvae_cli.estimators.nwj import NWJ
from ssvae_cli.scores import DenseScores, FreshScores

ALL = [InfoNCE(), Limit(), DV(), NWJ()]


@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0, 1e4])
def test_infonce_never_exceeds_log_k(scale):
    for k in (2, 16, 64):
        rounding = 1e-6 + scale * 2**-22  # float32's, at the size of the scores
        assert InfoNCE()(DenseScores(scale * torch.eye(k))) <= InfoNCE.ceiling(k) + rounding


def test_leave_one_out_is_no_bound_and_exceeds_log_k():
    assert Limit()(DenseScores(100 * torch.eye(16))) > 10 * math.log(16)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
@pytest.mark.parametrize("sign", [1, -1])
def test_scores_of_ten_thousand_overflow_nothing(estimator, sign):
    for table in (sign * 1e4 * torch.eye(8), sign * 1e4 * torch.ones(8, 8), sign * 1e4 * (1 - torch.eye(8))):
        table = table.clone().requires_grad_()
        value = estimator(DenseScores(table))
        value.backward()
        assert value.isfinite() and table.grad.isfinite().all()


def plain(name, t):
    """Each estimator as its formula reads, one pair at a time."""
    k = len(t)
    others = lambda i: [t[i, j].exp() for j in range(k) if j != i]
    if name == "infonce":
        return sum(t[i, i] - (sum(t[i, j].exp() for j in range(k)) / k).log() for i in range(k)) / k
    if name == "limit":
        return sum(t[i, i] - (sum(others(i)) / (k - 1)).log() for i in range(k)) / k
    partition = sum(sum(others(i)) for i in range(k)) / (k * (k - 1))
    positives = sum(t[i, i] for i in range(k)) / k
    return positives - (partition.log() if name == "dv" else partition / math.e)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
def test_value_and_gradient_equal_the_plain_formula(estimator):
    table = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(reference := plain(estimator.name, table), table)
    (gradient,) = torch.autograd.grad(value := estimator(DenseScores(table)), table)
    assert abs(value - reference) < 1e-12
    assert torch.allclose(gradient, expected, rtol=1e-12, atol=1e-14)


def test_two_sample_infonce_is_a_logistic_loss():
    """K = 2: log 2 minus the softplus of minus the margin, and its gradient is the logistic of it."""
    table = torch.tensor([[1.5, -0.5], [0.25, 2.0]], dtype=torch.float64, requires_grad=True)
    value = InfoNCE()(DenseScores(table))
    value.backward()
    margins = [1.5 - -0.5, 2.0 - 0.25]
    assert abs(value.item() - sum(math.log(2) - math.log1p(math.exp(-m)) for m in margins) / 2) < 1e-12
    pull = [0.5 / (1 + math.exp(m)) for m in margins]
    expected = torch.tensor([[pull[0], -pull[0]], [-pull[1], pull[1]]], dtype=torch.float64)
    assert torch.allclose(table.grad, expected, rtol=1e-12)


def test_fresh_scores_average_over_all_sources_with_their_own_view_among_them():
    positives, table, own = torch.randn(3), torch.randn(3, 5), torch.tensor([0, 2, 4])
    scores = FreshScores(positives, table, own)
    assert torch.allclose(scores.log_partition(positive=False), table.exp().mean(1).log())
    swapped = table.clone()
    swapped[range(3), own] = positives
    assert torch.allclose(scores.log_partition(positive=True), swapped.exp().mean(1).log())
    assert torch.allclose(scores.log_partition_all(), table.exp().mean().log())
    assert scores.candidates == 5


def test_dense_scores_refuse_a_single_pair():
    with pytest.raises(ValueError, match="at least 2"):
        DenseScores(torch.zeros(1, 1))


def test_whitening_gives_mean_zero_covariance_one_and_the_volume():
    z = torch.randn(500, 3, dtype=torch.float64) @ torch.tensor([[2.0, 0, 0], [1, 0.5, 0], [0, 1, 1]]).double() + 7
    white, volume = whiten(z)
    assert torch.allclose(white.mean(0), torch.zeros(3).double(), atol=1e-9)
    assert torch.allclose(torch.cov(white.T), torch.eye(3).double(), atol=1e-4)
    assert abs(volume - 0.5 * torch.logdet(torch.cov(z.T))) < 1e-4


def test_the_bias_of_logdet_is_wisharts():
    """1/2 log det of the sample covariance of 12 normals in 5 dimensions is low by a known amount."""
    g = torch.Generator().manual_seed(0)
    values = torch.stack([whiten(torch.randn(12, 5, dtype=torch.float64, generator=g))[1] for _ in range(4000)])
    error = values.std().item() / math.sqrt(len(values))
    assert logdet_bias(12, 5) < -0.8
    assert abs(values.mean().item() - logdet_bias(12, 5)) < 4 * error


def test_whitening_survives_dead_units():
    z = torch.cat([torch.randn(20, 2), torch.zeros(20, 1)], 1).requires_grad_()
    white, volume = whiten(z)
    (white.sum() + volume).backward()
    assert white.isfinite().all() and volume.isfinite() and z.grad.isfinite().all()
