"""Estimators on scores: claims that hold for any f.

1. K-way InfoNCE never exceeds log K, and leave-one-out does: it is no bound.
2. Scores of 1e4 overflow nothing, in value or in gradient.
3. Values and gradients equal a plain reference written out pair by pair, in float64.
"""

import copy
import math

import pytest
import torch

from ssvae_cli.critics import Bilinear
from ssvae_cli.estimators.base import meaning
from ssvae_cli.estimators.dv import DV
from ssvae_cli.estimators.eq3 import Eq3
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.estimators.interpolated import Interpolated
from ssvae_cli.estimators.js import JS
from ssvae_cli.estimators.leave_one_out import LeaveOneOut
from ssvae_cli.estimators.mine import MINE
from ssvae_cli.estimators.nwj import NWJ
from ssvae_cli.estimators.queue import Queue
from ssvae_cli.estimators.smile import SMILE
from ssvae_cli.estimators.tuba import TUBA
from ssvae_cli.priors.base import Encoded
from ssvae_cli.priors.infonce import InfoNCE as InfoNCEPrior
from ssvae_cli.scores.dense import DenseScores
from ssvae_cli.scores.fresh import FreshScores

ALL = [InfoNCE(), LeaveOneOut(), DV(), NWJ(), Eq3(), TUBA(), Interpolated(alpha=0.3), MINE(decay=0.9), JS(), SMILE(clip=5.0)]


@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0, 1e4])
def test_infonce_never_exceeds_log_k(scale):
    for k in (2, 16, 64):
        rounding = 1e-6 + scale * 2**-22  # float32's, at the size of the scores
        assert InfoNCE()(DenseScores(scale * torch.eye(k))) <= InfoNCE.ceiling(k) + rounding


def test_leave_one_out_is_no_bound_and_exceeds_log_k():
    assert LeaveOneOut()(DenseScores(100 * torch.eye(16))) > 10 * math.log(16)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
@pytest.mark.parametrize("sign", [1, -1])
def test_scores_of_ten_thousand_overflow_nothing(estimator, sign):
    for table in (sign * 1e4 * torch.eye(8), sign * 1e4 * torch.ones(8, 8), sign * 1e4 * (1 - torch.eye(8))):
        table = table.clone().requires_grad_()
        value = copy.deepcopy(estimator)(DenseScores(table))
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
    if name == "eq3":  # N = k - 1 negatives; the sum and not the mean, + log N
        return sum(t[i, i] - sum(t[i, j].exp() for j in range(k)).log() for i in range(k)) / k + math.log(k - 1)
    apart = [t[i, j] for i in range(k) for j in range(k) if i != j]
    partition = sum(s.exp() for s in apart) / len(apart)
    positives = sum(t[i, i] for i in range(k)) / k
    if name == "partition":
        return partition
    if name == "interpolated":
        alpha, among = 0.3, lambda i: sum(t[i, j].exp() for j in range(k)) / k
        baseline = lambda mean: alpha * mean + (1 - alpha) * math.e
        apart = lambda i: sum(others(i)) / (k - 1)
        terms = [t[i, i] - baseline(among(i)).log() - apart(i) / baseline(apart(i)) for i in range(k)]
        return 1 + sum(terms) / k
    if name == "js":
        return 1 + positives - partition
    if name == "jensen-shannon":
        softplus = lambda s: (1 + s.exp()).log()
        return -sum(softplus(-t[i, i]) for i in range(k)) / k - sum(map(softplus, apart)) / len(apart)
    if name == "smile":
        return positives - (sum(s.clamp(-0.5, 0.5).exp() for s in apart) / len(apart)).log()
    return positives - (partition.log() if name in ("dv", "mine") else partition / math.e)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
def test_value_and_gradient_equal_the_plain_formula(estimator):
    estimator = SMILE(clip=0.5) if estimator.name == "smile" else copy.deepcopy(estimator).double()
    table = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)
    trained = plain("jensen-shannon" if estimator.name in ("js", "smile") else estimator.name, table)
    (expected,) = torch.autograd.grad(trained, table)
    (gradient,) = torch.autograd.grad(value := estimator(DenseScores(table)), table)
    assert abs(value - plain(estimator.name, table)) < 1e-12
    assert torch.allclose(gradient, expected, rtol=1e-10, atol=1e-12)


def test_interpolateds_ends_are_nwj_and_infonce_and_its_ceiling_lies_between():
    scores = DenseScores(torch.randn(6, 6))
    assert Interpolated(alpha=0.0)(scores) == NWJ()(scores) and Interpolated(alpha=1.0)(scores) == InfoNCE()(scores)
    near = [Interpolated(alpha=a)(scores).item() for a in (1e-6, 1 - 1e-6)]
    assert near == pytest.approx([NWJ()(scores).item(), InfoNCE()(scores).item()], abs=1e-4)
    perfect = DenseScores(40 * torch.eye(16, dtype=torch.float64))
    assert math.log(16) < Interpolated(alpha=0.1)(perfect) <= Interpolated(alpha=0.1).ceiling(16)


def test_eq3_is_infonce_less_log_of_n_plus_one_over_n():
    scores = DenseScores(torch.randn(9, 9, dtype=torch.float64))
    assert abs(InfoNCE()(scores) - Eq3()(scores) - math.log(9 / 8)) < 1e-12
    assert Eq3.ceiling(9) == math.log(8)


def test_mines_gradient_divides_by_the_average_over_batches_and_its_value_is_dv():
    estimator = MINE(decay=0.5).double()
    tables = [torch.randn(5, 5, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    average = None
    for table in tables:
        partition = plain("partition", table)
        average = partition.item() if average is None else 0.5 * average + 0.5 * partition.item()
        positives = sum(table[i, i] for i in range(5)) / 5
        (expected,) = torch.autograd.grad(positives - partition / average, table)
        (gradient,) = torch.autograd.grad(value := estimator(DenseScores(table)), table)
        assert abs(value - DV()(DenseScores(table))) < 1e-12
        assert torch.allclose(gradient, expected, rtol=1e-10)
    before = estimator.log_average.clone()
    estimator.eval()(DenseScores(tables[0]))
    assert torch.equal(estimator.log_average, before), "evaluation does not move the average"


def test_tubas_best_baseline_gives_dv():
    scores, estimator = DenseScores(torch.randn(6, 6)), TUBA()
    estimator.log_baseline.data = scores.log_partition_all()
    assert torch.allclose(estimator(scores), DV()(scores), atol=1e-6)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
def test_further_candidates_count_as_negatives(estimator):
    """A table [B, N] with N > B reads as the pairs' share of a larger batch."""
    estimator = copy.deepcopy(estimator).double()
    whole = torch.randn(4, 7, dtype=torch.float64)
    value = estimator.eval()(DenseScores(whole))
    by_row = [estimator(DenseScores(torch.cat([whole[i : i + 1, i:], whole[i : i + 1, :i]], 1))) for i in range(4)]
    if estimator.name in ("infonce", "limit", "eq3", "interpolated"):
        assert abs(value - sum(by_row) / 4) < 1e-12
    assert value.isfinite()


def test_the_queue_scores_against_past_latents_first_in_first_out():
    estimator, z = Queue(size=5, latent_dim=2), lambda v: torch.full((2, 2), float(v))
    sizes = []
    for step in range(4):
        past = estimator.past(Encoded(z(step), z(-step), None, None))
        sizes.append(len(past[0]))
    assert sizes == [0, 2, 4, 5]
    assert sorted(past[0][:, 0].tolist()) == [0, 1, 1, 2, 2], "the oldest goes first"
    assert torch.equal(past[1], -past[0])
    assert estimator.eval().past(Encoded(z(9), z(9), None, None)) is None, "evaluation neither reads nor moves the bank"
    prior = InfoNCEPrior(critic=Bilinear(latent_dim=2), direction="forward")
    (scores,) = prior.scores(torch.randn(3, 2), torch.randn(3, 2), past)
    assert scores.candidates == 8


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


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
def test_every_estimator_says_what_it_is(estimator):
    said = meaning(estimator).lower()
    for word in ("relation to i", "relation to the elbo", "variance", "source"):
        assert word in said
    assert any(word in said for word in ("ceiling", "at most", "below log n"))
