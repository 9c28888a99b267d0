"""Optimizers: the update is the published one, rates go by names, and accumulated gradients are the mean of batches'.

What resumes: tests/test_resume.py."""

import copy
import math

import pytest
import torch

from helpers import composed
from ssvae_cli.errors import UserError
from ssvae_cli.estimators.entropies import Conditionals
from ssvae_cli.instantiate.build import build
from ssvae_cli.optimizers import LARS, SGD, AdamW, Muon, orthogonalised
from ssvae_cli.training.average import WeightAverage

FLAT = {"lr": 0.1, "weight_decay": 0.1, "warmup": 0.0, "clip": None}


class Nested(torch.nn.Module):
    """Parameters called encoder.weight, encoder.bias, prior.weight and prior.bias."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.prior, self.estimator = torch.nn.Linear(3, 2), torch.nn.Linear(2, 2), None

    def forward(self, x):
        return self.prior(self.encoder(x).tanh()).square().mean()


def stepped(optimization, module, batches, at=0):
    """A step on each batch; the module."""
    for i, x in enumerate(batches):
        module(x).backward()
        optimization.step(at + i)
    return module


def test_lars_scales_each_matrix_by_its_norm_and_leaves_biases_to_momentum():
    module, rate = Nested(), LARS(**FLAT, momentum=0.9, trust=0.01).attach([Nested()], 10).rate
    expected = {name: p.detach().clone() for name, p in module.named_parameters()}
    velocity = {name: torch.zeros_like(p) for name, p in expected.items()}
    optimization = LARS(**FLAT, momentum=0.9, trust=0.01).attach([module], total_steps=10)
    for step in range(3):
        x = torch.randn(5, 3)
        module(x).backward()
        for name, w in expected.items():  # the two formulas of You et al. 2017, one parameter at a time
            g = dict(module.named_parameters())[name].grad.clone()
            if name.endswith("weight"):
                g += 0.1 * w
                g *= 0.01 * w.norm() / g.norm()
            velocity[name] = 0.9 * velocity[name] + g
            expected[name] = w - rate(step) * velocity[name]
        optimization.step(step)
        for name, p in module.named_parameters():
            assert torch.allclose(p, expected[name], atol=1e-6), name


def test_lars_moves_weights_that_are_zero():
    module = Nested()
    module.prior.weight.data.zero_()
    stepped(LARS(**FLAT).attach([module], total_steps=4), module, torch.randn(2, 5, 3))
    assert module.prior.weight.isfinite().all() and module.prior.weight.abs().max() > 0


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 17)])
def test_the_orthogonal_factor_has_the_singular_vectors_and_values_near_1(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    inner = u.T @ orthogonalised(x) @ v.T
    values = inner.diagonal()[s > s.norm() / 500]
    assert torch.allclose(inner, inner.diagonal().diag(), atol=1e-9) and 0.6 < values.min() and values.max() < 1.2


def test_the_orthogonal_factor_in_float32_is_that_of_the_plain_iteration_for_any_singular_values():
    """Where products of p(X X^T) meet X once, small singular values do not drown in rounding."""
    for least in (1e-1, 1e-3, 1e-6):
        u, v = (torch.linalg.qr(torch.randn(rows, 48, dtype=torch.float64))[0] for rows in (48, 200))
        x = u * torch.logspace(0, math.log10(least), 48, dtype=torch.float64) @ v.T
        plain = x / x.norm()
        for _ in range(5):
            gram = plain @ plain.T
            plain = 3.4445 * plain + (2.0315 * gram @ gram - 4.775 * gram) @ plain
        assert (orthogonalised(x.float()) - plain).abs().max() < 2e-3 * plain.abs().max()


def test_muon_moves_matrices_as_torch_does_and_the_rest_as_adam(monkeypatch):
    """torch's is for matrices alone, so filters are read as [out, in * k * k]; its iteration, in bfloat16, is
    ours here, which is held to an SVD above."""
    muon = pytest.importorskip("torch.optim._muon", reason="this torch has no Muon; 2.9 and later have")
    monkeypatch.setattr(muon, "_zeropower_via_newtonschulz", lambda update, *options: orthogonalised(update))
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4, 6))
    weights, biases = ([copy.deepcopy(getattr(module[i], name)) for i in (0, 2)] for name in ("weight", "bias"))
    matrices = [torch.nn.Parameter(w.detach().flatten(1).clone()) for w in weights]
    theirs = torch.optim.Muon(matrices, lr=0.1, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(biases, lr=0.1, weight_decay=0.0)
    ours = Muon(**FLAT, momentum=0.9).attach([module], total_steps=10**9)  # long before its cosine
    for step, (x, y) in enumerate(zip(torch.randn(3, 64, 2, 3, 3), torch.randn(3, 64, 6))):
        (module(x) - y).square().mean().backward()
        for i, matrix, bias in zip((0, 2), matrices, biases):
            matrix.grad, bias.grad = module[i].weight.grad.flatten(1).clone(), module[i].bias.grad.clone()
        theirs.step(), adam.step(), ours.step(step)
    for i, matrix, bias in zip((0, 2), matrices, biases):
        assert torch.allclose(module[i].weight.flatten(1), matrix, atol=1e-6)
        assert torch.allclose(module[i].bias, bias, atol=1e-6)


def test_the_first_pattern_that_fits_a_name_sets_its_rate():
    module = Nested()
    rates = {"encoder.bias": 0.0, "prior.weight": 3.0}
    usual = {"encoder.*": 0.5, "prior.weight": 7.0}  # where no group fits
    optimization = SGD(**FLAT | {"weight_decay": 0.0}, momentum=0.0, groups=rates)
    optimization.attach([module], 4, of_prior=module.prior.parameters(), suits={"prior_lr": 2.0}, of_names=usual)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    module(torch.randn(5, 3)).backward()
    gradients = {name: p.grad.clone() for name, p in module.named_parameters()}
    optimization.step(0)
    times = {"encoder.weight": 0.5, "encoder.bias": 0.0, "prior.weight": 3.0, "prior.bias": 2.0}
    for name, p in module.named_parameters():
        assert torch.allclose(before[name] - p, 0.1 * times[name] * gradients[name], atol=1e-7), name


def test_an_automatic_rate_is_the_one_that_suits_the_estimator_and_a_number_is_itself():
    for lr, suits, rate in [
        ("auto", {}, 0.002),
        ("auto", Conditionals.suits, 0.005),
        (0.01, Conditionals.suits, 0.01),
    ]:
        optimization = AdamW(lr=lr, weight_decay=0.0, warmup=0.0, clip=None)
        optimization.attach([Nested()], total_steps=4, suits=suits)
        assert optimization.rate(0) == pytest.approx(rate)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"groups": {"decoder.*": 1.0}}, "no parameter is called decoder.*; their names begin with encoder.bias"),
        ({"groups": {"encoder.*": -1.0}}, "groups must give a multiple of lr, at least 0, for encoder.*, got -1.0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
    ],
)
def test_rates_that_make_no_sense_are_refused_in_a_line(options, said):
    with pytest.raises(UserError) as refused:
        AdamW(**FLAT, **options).attach([Nested()], total_steps=1)
    assert said in str(refused.value)


@pytest.mark.parametrize("optimizer", [SGD, LARS, Muon])
def test_an_automatic_rate_is_refused_where_there_is_no_usual_one(optimizer):
    with pytest.raises(UserError, match="lr must be a number above 0, got auto"):
        optimizer(**FLAT | {"lr": "auto"})


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lars", "muon"])
def test_rates_by_names_are_given_on_the_command_line(optimizer):
    given = composed(f"optimizer={optimizer}", "optimizer.groups={encoder.backbone.*:0.1,prior.*:2}").optimizer
    assert build(given, "optimizer").groups == {"encoder.backbone.*": 0.1, "prior.*": 2}
    with pytest.raises(UserError, match="optimizer.groups must be a mapping of names, each to"):
        build(composed(f"optimizer={optimizer}", "optimizer.groups={encoder.*:x}").optimizer, "optimizer")


@pytest.mark.parametrize("clip", [None, 0.01])
def test_accumulated_gradients_are_those_of_the_mean_of_the_batches(clip):
    """Of those that are left at the last step too, here 2 of 3."""
    x = torch.randn(8, 5, 3)
    whole, parts, options = Nested(), Nested(), FLAT | {"clip": clip}
    accumulating = AdamW(**options, accumulate=3).attach([parts], total_steps=8)
    plain = AdamW(**options).attach([whole], total_steps=8)
    for at in (0, 3, 6):
        batches = x[at : at + 3]
        stepped(accumulating, parts, batches[:-1], at=at)
        assert not accumulating.updated
        stepped(accumulating, parts, batches[-1:], at=at + len(batches) - 1)
        assert accumulating.updated
        (sum(map(whole, batches)) / len(batches)).backward()
        plain.step(at + len(batches) - 1)  # at the rate of the last of them
    for p, q in zip(whole.parameters(), parts.parameters()):
        assert torch.allclose(p, q, atol=1e-6)


def test_the_norm_of_gradients_that_wait_is_that_of_their_mean():
    x, module, norms = torch.randn(5, 3), Nested(), []
    optimization = AdamW(**FLAT, accumulate=3).attach([module], total_steps=8)
    for step in range(3):  # the third updates; the gradient is the same in each
        module(x).backward()
        norms.append(optimization.step(step))
    assert norms[0] > 0 and torch.allclose(torch.stack(norms), norms[0])


def test_gradients_that_wait_for_an_update_are_part_of_the_state():
    x, options = torch.randn(4, 5, 3), {**FLAT, "accumulate": 2}
    whole = Nested()
    stepped(AdamW(**options).attach([whole], total_steps=4), whole, x)
    first = Nested()
    optimization = AdamW(**options).attach([first], total_steps=4)
    stepped(optimization, first, x[:3])
    second = copy.deepcopy(first)
    resumed = AdamW(**options).attach([second], total_steps=4)
    resumed.load_state_dict(copy.deepcopy(optimization.state_dict()))
    stepped(resumed, second, x[3:], at=3)
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), second.parameters()))


def test_the_average_of_weights_follows_its_formula():
    module = Nested()
    average = WeightAverage(module, decay=0.3)
    expected = [p.detach().clone() for p in module.parameters()]
    for updates in range(1, 5):
        for p in module.parameters():
            p.data += torch.randn_like(p)
        average.follow(module, updates)
        decay = min(0.3, (1 + updates) / (10 + updates))
        expected = [decay * a + (1 - decay) * p.detach() for a, p in zip(expected, module.parameters())]
    for p, a in zip(average.objective.parameters(), expected):
        assert torch.allclose(p, a, atol=1e-6)
