"""Estimators on scores: claims that hold for any f.

1. K-way InfoNCE never exceeds log K, and leave-one-out does: it is no bound.
2. Scores of 1e4 overflow nothing, in value or in gradient.
3. Values and gradients equal a plain reference written out pair by pair, in float64, further candidates among them.
"""

import copy
import math

import pytest
import torch

from ssvae_cli.critics import Bilinear
from ssvae_cli.errors import UserError
from ssvae_cli.estimators import DV, JS, MINE, NWJ, SMILE, TUBA, Eq3, InfoNCE, Interpolated, LeaveOneOut, Queue
from ssvae_cli.priors import Encoded
from ssvae_cli.scores import DenseScores, FreshScores, in_batch_scores

ALL = [estimator() for estimator in (InfoNCE, LeaveOneOut, DV, NWJ, Eq3, TUBA, JS)]
ALL += [Interpolated(alpha=0.3), MINE(decay=0.9), SMILE(clip=5.0)]


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
    """Each estimator as its formula reads, one pair of t, [B, N], at a time; t[i, i] are the positives."""
    pairs, candidates = t.shape
    mean = lambda terms: sum(terms) / len(terms)
    of_pairs = lambda term: mean([term(i) for i in range(pairs)])
    negatives = lambda i: [t[i, j] for j in range(candidates) if j != i]
    among = lambda i: mean([s.exp() for s in t[i]])
    apart = lambda i: mean([s.exp() for s in negatives(i)])
    if name == "infonce":
        return of_pairs(lambda i: t[i, i] - among(i).log())
    if name == "leave_one_out":
        return of_pairs(lambda i: t[i, i] - apart(i).log())
    if name == "eq3":  # N negatives; the sum and not the mean, + log N
        return of_pairs(lambda i: t[i, i] - sum(t[i].exp()).log()) + math.log(candidates - 1)
    if name == "interpolated":
        baseline = lambda mean: 0.3 * mean + 0.7 * math.e
        return 1 + of_pairs(lambda i: t[i, i] - baseline(among(i)).log() - apart(i) / baseline(apart(i)))
    positives, independent = of_pairs(lambda i: t[i, i]), [s for i in range(pairs) for s in negatives(i)]
    partition = mean([s.exp() for s in independent])
    softplus = lambda s: (1 + s.exp()).log()
    return {
        "partition": partition,
        "dv": positives - partition.log(),
        "mine": positives - partition.log(),
        "nwj": positives - partition / math.e,
        "tuba": positives - partition / math.e,  # a starts at e
        "js": 1 + positives - partition,
        "smile": positives - mean([s.clamp(-0.5, 0.5).exp() for s in independent]).log(),
        "jensen-shannon": -of_pairs(lambda i: softplus(-t[i, i])) - mean([softplus(s) for s in independent]),
    }[name]


@pytest.mark.parametrize("shape", [(6, 6), (4, 7)], ids=["batch", "further candidates"])
@pytest.mark.parametrize("estimator", ALL, ids=lambda e: e.name)
def test_value_and_gradient_equal_the_plain_formula(estimator, shape):
    estimator = SMILE(clip=0.5) if estimator.name == "smile" else copy.deepcopy(estimator).double()
    table = torch.randn(shape, dtype=torch.float64, requires_grad=True)
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


def test_the_queue_scores_against_past_latents_first_in_first_out():
    estimator, z = Queue(size=5, latent_dim=2), lambda v: torch.full((2, 2), float(v))
    sizes = []
    for step in range(4):
        past = estimator.past()
        sizes.append(int(past.present.sum()))
        estimator.remember(Encoded((z(step), z(-step)), (None, None)))
    assert sizes == [0, 2, 4, 5]
    z, z_prime = past.latents
    assert sorted(z[:, 0].tolist()) == [0, 1, 1, 2, 2], "the oldest goes first"
    assert torch.equal(z_prime, -z)
    (scores,) = in_batch_scores(Bilinear(latent_dim=2), torch.randn(3, 2), torch.randn(3, 2), "forward", past)
    assert scores.candidates == 8


def test_evaluation_neither_reads_nor_moves_the_queues_bank():
    estimator, encoded = Queue(size=5, latent_dim=2), Encoded((torch.ones(2, 2), torch.ones(2, 2)), (None, None))
    estimator.remember(encoded)
    estimator.eval().remember(encoded)
    assert estimator.past() is None and estimator.train().past().present.sum() == 2


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


def test_a_bare_table_of_scores_is_told_what_to_become():
    with pytest.raises(UserError, match=r"InfoNCE asks a Scores object; give DenseScores\(table\)"):
        InfoNCE()(torch.zeros(3, 3))
