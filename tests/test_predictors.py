"""Priors that predict the next latent: the predictor and switching dynamics.

1. Each step is a density that its samples come from, in a chain or several steps ahead.
2. What is known of each in closed form: linear_dynamics, and a mixture by hand.
3. They learn a step that no linear one has, and train from the command line.
"""

import math

import pytest
import torch

from helpers import refused, train
from ssvae_cli.encoders.posteriors import Normal
from ssvae_cli.errors import UserError
from ssvae_cli.estimators.entropies import Conditionals
from ssvae_cli.priors import Encoded, LinearDynamics, Predictor, SwitchingDynamics
from ssvae_cli.priors.means import GRU, MLP, Linear
from test_priors import moved, proposal
from test_views import COUNT, require_samples

MEANS = {
    "linear": lambda **sizes: Linear(persistence=0.5, **sizes),
    "mlp": lambda **sizes: MLP(hidden=[8], **sizes),
    "gru": lambda **sizes: GRU(width=8, **sizes),
}


def predictor(mean="mlp", noise="learned", steps="chain", views=3, dim=1, **more):
    return Predictor(latent_dim=dim, mean=MEANS[mean], noise=noise, std=0.7, steps=steps, views=views, **more)


PRIORS = {
    "linear": lambda: predictor("linear"),
    "mlp, noise of z": lambda: predictor("mlp", "predicted"),
    "gru": lambda: predictor("gru", "fixed"),
    "mlp, steps ahead": lambda: predictor("mlp", "predicted", "ahead"),
    "switching": lambda: SwitchingDynamics(latent_dim=1, components=3, persistence=0.5, views=3),
}


@pytest.mark.parametrize("name", PRIORS)
def test_three_latents_have_the_density_of_their_samples(name):
    torch.manual_seed(0)
    prior, g = moved(PRIORS[name]()), torch.Generator().manual_seed(0)
    points, log_r = zip(*(proposal(prior.space, COUNT, 1, g) for _ in range(3)))
    weights = (prior.log_prob(*points) - sum(log_r)).exp().detach()
    assert abs(weights.mean().item() - 1) < 4 * weights.std().item() / math.sqrt(COUNT) < 0.2
    first = prior.sample(COUNT, 1, g)[0].double()
    require_samples(prior.sample(COUNT, 1, g), points, weights)
    require_samples([first, *prior.sample_conditional(first, g).chunk(2, 1)], points, weights)


@pytest.mark.parametrize("name", PRIORS)
def test_the_table_of_conditionals_has_the_steps_of_the_pairs_on_its_diagonal(name):
    prior = moved(PRIORS[name]())
    latents = tuple(z.double() for z in prior.sample(6, 1, torch.Generator().manual_seed(0)))
    steps = [prior.log_given(latents, side) for side in (1, 2)]
    assert torch.allclose(sum(table.diagonal() for table in steps), prior.log_conditional(*latents), atol=1e-9)
    for side in range(3):
        moved_rows = prior.log_given((*latents[:side], latents[side].flip(0), *latents[side + 1 :]), side)
        assert torch.allclose(moved_rows.flip(0), prior.log_given(latents, side), atol=1e-9), "rows are of the side"
        assert all(part.shape == (6,) for part in prior.log_mixture(latents, side))


def test_a_linear_predictor_and_one_regime_are_the_step_of_linear_dynamics():
    torch.manual_seed(0)
    known = LinearDynamics(latent_dim=2, stationary=False, persistence=0.5, views=3, marginal="encoder").double()
    known.matrix.data = torch.randn(2, 2, dtype=torch.float64)
    known.shift.data = torch.randn(2, dtype=torch.float64)
    known.white_step.data = torch.tensor([[2.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    linear = predictor("linear", dim=2).double()
    linear.means[0].weight.data, linear.means[0].bias.data = known.matrix.data, known.shift.data
    linear.log_std.data = -torch.tensor([[2.0, 0.5]], dtype=torch.float64).log()
    switching = SwitchingDynamics(latent_dim=2, components=1, persistence=0.5, views=3).double()
    for name in ("matrix", "shift", "white_step"):
        getattr(switching, name).data = getattr(known, name).data[None]
    latents = torch.randn(3, 7, 2, dtype=torch.float64).unbind()
    for prior in (linear, switching):
        assert torch.allclose(prior.log_conditional(*latents), known.log_conditional(*latents), atol=1e-9)


def test_each_step_ahead_has_a_transition_of_its_own_and_sees_the_first_latent_alone():
    prior = predictor("linear", steps="ahead").double()
    z, first, second = torch.randn(3, 5, 1, dtype=torch.float64).unbind()
    prior.means[1].weight.data.fill_(-2.0)
    by_hand = sum(
        Normal(a * z, torch.full_like(z, math.log(0.7))).log_prob(after) for a, after in ((0.5, first), (-2.0, second))
    )
    assert torch.allclose(prior.log_conditional(z, first, second), by_hand)


def test_an_mlp_learns_a_step_that_is_not_linear_and_regimes_learn_two_steps():
    """E log P(z'|z) on data of each law comes within 0.1 nats of that of the law itself."""
    torch.manual_seed(0)
    z = torch.randn(2000, 1)
    sign = torch.where(torch.rand(2000, 1) < 0.5, 1.0, -1.0)
    cases = {
        "folded": (z.abs() + 0.1 * torch.randn(2000, 1), predictor("mlp", views=2), 0.0),
        "two regimes": (
            0.9 * sign * z + 0.1 * torch.randn(2000, 1),
            SwitchingDynamics(latent_dim=1, components=2, persistence=0.5),
            -math.log(2),
        ),
    }
    for name, (z_prime, prior, of_regime) in cases.items():
        truth = -0.5 * math.log(2 * math.pi * math.e * 0.01) + of_regime
        optimizer = torch.optim.Adam(prior.parameters(), lr=0.03)
        for _ in range(300):
            loss = -prior.log_conditional(z, z_prime).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert -loss.item() > truth - 0.15, name


def test_the_elbo_with_conditionals_is_at_most_log_b_and_its_gradient_reaches_the_predictor():
    torch.manual_seed(0)
    prior = predictor("gru", "predicted")
    latents = torch.randn(3, 16, 1).unbind()
    elbo = prior.elbo(Conditionals(candidates=None), Encoded(latents, (None,) * 3))
    elbo.backward()
    assert elbo < 2 * math.log(16)
    assert all(bool(p.grad.abs().sum() > 0) for p in prior.means.parameters())


def test_wrong_settings_of_predictors_are_refused():
    with pytest.raises(UserError, match="std must be above 0"):
        Predictor(latent_dim=1, mean=MEANS["mlp"], noise="fixed", std=0, steps="chain")
    with pytest.raises(UserError, match="hidden must be layer widths"):
        predictor().means[0].__class__(inputs=1, outputs=1, hidden=[])
    with pytest.raises(UserError, match="width must be at least 1"):
        GRU(inputs=1, outputs=1, width=0)
    with pytest.raises(UserError, match="components must be at least 1"):
        SwitchingDynamics(latent_dim=1, components=0, persistence=0.5)


def test_a_predictor_trains_from_the_command_line(tmp_path):
    words = ["prior=predictor", "encoder.latent_dim=3", "evaluation.metrics.knn=null"]
    summary = train(tmp_path, *words)
    assert math.isfinite(summary["elbo/test"]) and summary["prior/noise"] > 0 and summary["kl/marginal/test"] == 0


def test_a_prediction_that_is_none_of_the_choices_is_refused(tmp_path, capfd):
    said = refused(capfd, "train", "prior=predictor", "prior/mean=lstm", f"hydra.run.dir={tmp_path}/run")
    assert "prior/mean" in said and "gru" in said
