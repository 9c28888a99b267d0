"""Critics of `ssvae mi`: validation chooses the step, independent pairs read 0, a bound keeps below its ceiling."""

import pytest
import torch

from ssvae_cli.critics import MLP, Separable
from ssvae_cli.estimators import NWJ, SMILE, InfoNCE
from ssvae_cli.evaluation.samples import Pairs
from ssvae_cli.mi.by_critic import ByCritic
from ssvae_cli.mi.tasks import Sample
from test_mi_estimates import gaussian, posed, short_fit


def by_critic(sample, estimator, critic=None, **options):
    width = sample.x.shape[1]
    make = lambda: critic or Separable(latent_dim=width, hidden=[64], embedding_dim=32)
    reading = ByCritic(make, lambda: estimator, short_fit(**options), width)(posed(sample))
    return reading.estimate, reading.curve


def test_a_ratio_that_is_too_large_is_shown_by_its_lower_bound():
    problem = posed(gaussian(mi=1.0))
    terms, apart = problem.held_out(lambda train: lambda x, y: (x * y).sum(1) * 0 + 3.0, problem.pairs)
    assert terms.mean() == 3 and problem.lower_bound(terms, apart).value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("critic", ["separable", "mlp"])
def test_infonce_finds_most_of_the_mi_and_not_more(critic):
    make = {"separable": None, "mlp": MLP(latent_dim=2, hidden=[64])}[critic]
    (value, error), curve = by_critic(gaussian(mi=1.0), InfoNCE(), make)
    assert 0.8 < value + 2 * error and value - 3 * error < 1.0
    assert curve.chosen > 0


@pytest.mark.parametrize("estimator", [InfoNCE(), NWJ(), SMILE(clip=5.0)])
def test_independent_pairs_read_no_dependence_however_long_a_critic_overfits(estimator):
    (value, error), curve = by_critic(gaussian(mi=0, samples=300), estimator, steps=600, patience=100)
    assert value < 3 * error + 0.03
    assert curve.values[-1] < curve.values[curve.steps.index(curve.chosen)], "the last step overfits"


def test_k_way_infonce_keeps_below_its_ceiling():
    sample = gaussian(mi=12.0, samples=500)
    (value, _), _ = by_critic(sample, InfoNCE())
    assert value <= InfoNCE.ceiling(100)


def test_x_and_y_of_unequal_widths_are_scored():
    sample = gaussian(dim=3, mi=1.5)
    narrow = Sample(sample.x, sample.y[:, :1], None)
    assert by_critic(narrow, InfoNCE())[0].value == pytest.approx(0.5, abs=0.15)


def test_a_fit_keeps_the_weights_that_validation_liked_best():
    network = torch.nn.Linear(1, 1)
    seen = []

    def validate():
        seen.append(network.weight.item())
        return -abs(len(seen) - 3)  # the third look is the best

    pairs = Pairs(torch.ones(8, 1), torch.ones(8, 1))
    fit, value = short_fit(steps=1000, patience=2), lambda batch: network(batch.x).mean()
    curve = fit(network, value, pairs, validate, torch.Generator())
    assert curve.chosen == 100 and curve.steps == [0, 50, 100, 150, 200]
    assert network.weight.item() == seen[2]
