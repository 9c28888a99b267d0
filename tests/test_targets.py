"""Encoders g' without a gradient: g itself, or an average of its past weights."""

import copy

import pytest
import torch

from helpers import composed
from ssvae_cli.errors import UserError
from ssvae_cli.objective import make_objective
from ssvae_cli.optimizers import SGD

SMALL = ["encoder=mlp", "encoder.backbone.hidden=[8]", "encoder.latent_dim=4", "prior=vmf", "estimator=stopgrad"]


def objective_of(*overrides: str):
    torch.manual_seed(0)
    return make_objective(composed(*SMALL, *overrides), (1, 8, 8), (1, 8, 8))


@pytest.mark.parametrize("last_decay, decays", [("null", [0.9, 0.9]), ("1.0", [0.95, 1.0])])
def test_the_target_is_the_average_of_past_weights_and_has_no_gradient(last_decay, decays):
    options = ["encoder_prime=ema", "encoder_prime.decay=0.9", f"encoder_prime.last_decay={last_decay}"]
    objective = objective_of(*options)
    optimization = SGD(lr=0.1, weight_decay=0.0, warmup=0.0, clip=None).attach([objective], total_steps=2)
    average = [p.detach().clone() for p in objective.encoder.parameters()]
    for step, decay in enumerate(decays):
        x, x_prime = torch.randn(2, 16, 1, 8, 8)
        (-objective(x, x_prime)).backward()
        optimization.step(step)
        objective.after_update((step + 1) / 2)
        average = [decay * a + (1 - decay) * p.detach() for a, p in zip(average, objective.encoder.parameters())]
    target = dict(objective.encoder_prime.named_parameters())
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(average, target.values()))
    assert all(p.grad is None and not p.requires_grad for p in target.values())
    assert not torch.equal(average[0], next(objective.encoder.parameters()))


@pytest.mark.parametrize("choice", ["ema", "detached"])
def test_a_target_is_read_in_a_checkpoint_and_copied_with_its_objective(choice):
    objective = objective_of(f"encoder_prime={choice}")
    with torch.no_grad():
        for p in objective.encoder.parameters():
            p += 1
    twin, again = copy.deepcopy(objective), objective_of(f"encoder_prime={choice}")
    again.load_state_dict(objective.state_dict())
    x = torch.randn(5, 1, 8, 8)
    expected = objective.eval().encoder_prime(x).mean
    for other in (twin.eval(), again.eval()):
        assert torch.equal(other.encoder_prime(x).mean, expected)
    with torch.no_grad():
        next(twin.encoder.parameters()).add_(1)  # the copy's target is the copy's
    assert torch.equal(twin.encoder_prime(x).mean, expected) == (choice == "ema")
    assert torch.equal(objective.encoder_prime(x).mean, expected)
    assert len({id(p) for p in objective.parameters() if p.requires_grad}) == len([*objective.encoder.parameters()]) + 1


def test_no_gradient_reaches_g_through_a_detached_target():
    objective, plain = objective_of("encoder_prime=detached"), objective_of("estimator=kde")
    x, x_prime = torch.randn(2, 16, 1, 8, 8)
    objective(x, x_prime).backward()
    z, target = plain.encoder(x).mean, plain.encoder(x_prime).mean.detach()
    plain.prior.log_prob(z, target).mean().backward()
    for p, q in zip(objective.encoder.parameters(), plain.encoder.parameters()):
        assert torch.allclose(p.grad, q.grad, atol=1e-6)


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["encoder_prime=shared"], "needs a g' without a gradient.*allowed: encoder_prime=ema, encoder_prime=detached"),
        (["encoder_prime=ema", "encoder_prime.decay=1.5"], "encoder_prime.decay must lie in .0, 1., got 1.5"),
        (["encoder_prime=ema", "estimator=sliced"], "estimator=sliced cannot serve prior=vmf"),
        (["encoder_prime=ema", "estimator=hsic"], "estimator=hsic cannot serve prior=vmf"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(overrides, said):
    with pytest.raises(UserError, match=said):
        objective_of(*overrides)


def test_a_target_of_another_shape_is_refused_in_a_line():
    with pytest.raises(UserError, match="have g's network, and one x' is \\[3\\], not as x"):
        make_objective(composed(*SMALL, "encoder_prime=ema"), (1, 8, 8), (3,))
    with pytest.raises(UserError, match="one x' is .3., not as x; pairs.future=6 makes x' a window as x is"):
        make_objective(composed(*SMALL, "encoder=mlp", "encoder_prime=ema"), (6, 3), (3,))
