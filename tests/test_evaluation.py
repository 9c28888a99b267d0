"""What is read from a run: probes against scikit-learn, geometry and the ELBO against closed forms."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from ssvae_cli.datasets.base import evenly_spaced
from ssvae_cli.encoders.posteriors import Normal, Spherical
from ssvae_cli.errors import UserError
from ssvae_cli.evaluation.figures import curves
from ssvae_cli.evaluation.geometry import alignment, effective_rank, noise, uniformity
from ssvae_cli.evaluation.knn import KNN
from ssvae_cli.evaluation.linear_probe import LinearProbe, accuracy


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x, y = torch.from_numpy(x), torch.from_numpy(y).long()
    return (x[:1000], y[:1000]), (x[1000:1400], y[1000:1400]), (x[1400:], y[1400:])


def probe(**options):
    settings = {"penalties": [1e-3, 1e-2], "max_iterations": 1000, "tolerance": 1e-6, "compared": 10_000}
    return LinearProbe(**(settings | options))


def knn(*rows):
    return KNN(k=20, temperature=0.07).accuracy(*rows)


def centred(t):
    return t - t.mean(1, keepdim=True)  # a constant added to every class changes nothing


@pytest.mark.parametrize("penalty, rows", [(1e-3, 1000), (1e-1, 1000), (1e-2, 50)])  # the last: fewer than features
def test_the_probe_is_scikit_learns_logistic_regression(penalty, rows, digits):
    (x, y), _, (x_test, y_test) = digits
    x, y = x[:rows], y[:rows]
    ours = probe(tolerance=1e-8).fit(x, y, 10, [penalty])[0].weights
    scaled = StandardScaler().fit(x)  # dead pixels left alone
    theirs = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-10, max_iter=5000).fit(scaled.transform(x), y)
    logits = x_test @ ours[:-1] + ours[-1]
    expected = torch.from_numpy(theirs.decision_function(scaled.transform(x_test)))
    assert (centred(logits) - centred(expected)).abs().max() < 5e-3
    assert accuracy(ours, x_test, y_test) == pytest.approx(theirs.score(scaled.transform(x_test), y_test))


def test_the_penalty_is_chosen_on_validation_and_the_fit_repeated_on_both(digits):
    train, validation, test = digits
    chosen, right = probe(penalties=[1e-3, 10.0]).choose(train, validation)
    assert chosen.penalty == 1e-3 and right > 0.85
    both = [torch.cat(pair) for pair in zip(train, validation)]
    expected = accuracy(probe().fit(*both, 10, [1e-3])[0].weights, *test)
    assert probe().test(train, validation, test, chosen) == expected > 0.85


def test_on_many_rows_penalties_are_compared_on_a_part_of_them_and_test_is_read_by_a_fit_to_all(digits):
    train, validation, test = digits
    expected, _ = probe().choose(train, validation)
    chosen, _ = probe(penalties=[expected.penalty], compared=250).choose(train, validation)
    subset = [side[evenly_spaced(1000, 250)] for side in train]
    (part,) = probe().fit(*subset, 10, [4 * expected.penalty])
    assert chosen.penalty == pytest.approx(expected.penalty) and chosen.weights.equal(part.weights)
    assert probe().test(train, validation, test, chosen) == probe().test(train, validation, test, expected)


def test_where_a_fit_starts_changes_nothing(digits):
    x, y = digits[0]
    (cold,) = probe(tolerance=1e-8).fit(x, y, 10, [1e-2])
    (warm,) = probe(tolerance=1e-8).fit(x, y, 10, [1e-2], start=torch.ones_like(cold.weights))
    (over,) = probe(tolerance=1e-8, max_iterations=1).fit(x, y, 10, [1e-2], start=cold.weights)
    for fit in (warm, over):  # the second began where it was to end
        assert centred(fit.weights).sub(centred(cold.weights)).abs().max() < 1e-4


def test_rows_without_a_label_are_left_out(digits):
    (x, y), validation, test = digits
    half = torch.cat([x, 100 * torch.ones(50, 64).double()]), torch.cat([y, torch.full((50,), -1)])
    (chosen, right), (expected, as_right) = (probe().choose(rows, validation) for rows in (half, (x, y)))
    assert right == as_right and chosen.weights.equal(expected.weights)
    assert probe().test(half, validation, test, chosen) == probe().test((x, y), validation, test, chosen)


@pytest.mark.parametrize("settings", [{"IN_CACHE": 64 * 37}, {"OF_MANY_ROWS": 5.0, "MANY_ROWS": 0}])
def test_neither_the_rows_read_at_a_time_nor_the_assumed_curvature_changes_the_probe(settings, digits, monkeypatch):
    x, y = digits[0]
    expected = probe(tolerance=1e-8).fit(x, y, 10, [1e-2])[0].weights
    for name, value in settings.items():
        monkeypatch.setattr(f"ssvae_cli.evaluation.linear_probe.{name}", value)
    found = probe(tolerance=1e-8).fit(x, y, 10, [1e-2])[0].weights
    assert torch.allclose(found, expected, atol=1e-4) and not torch.equal(found, expected)


def test_a_probe_that_stops_early_says_so(digits, caplog):
    probe(max_iterations=2).fit(*digits[0], 10, [1e-3])
    assert "did not converge" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"penalties": [0.0]}, {"penalties": []}, {"tolerance": 0.0}, {"max_iterations": 0}, {"compared": 0}]
)
def test_probe_settings_out_of_range_are_refused(wrong):
    with pytest.raises(UserError, match=f"^{next(iter(wrong))} must"):
        probe(**wrong)


def test_knn_is_scikit_learns_with_the_same_weights(digits):
    (x, y), _, (x_test, y_test) = digits
    weigh = lambda distance: np.exp((1 - distance) / 0.07)
    theirs = KNeighborsClassifier(20, metric="cosine", weights=weigh).fit(x, y)
    assert knn(x, y, x_test, y_test) == pytest.approx(theirs.score(x_test, y_test), abs=1e-9)


def test_neighbours_and_questions_without_a_label_are_left_out(digits):
    (x, y), _, (x_test, y_test) = digits
    more = torch.cat([x, x_test]), torch.cat([y, torch.full_like(y_test, -1)])
    asked = torch.cat([x_test, x]), torch.cat([y_test, torch.full_like(y, -1)])
    assert knn(*more, *asked) == knn(x, y, x_test, y_test)


def test_alignment_is_zero_for_equal_pairs_and_four_for_opposite_ones():
    z = torch.randn(50, 3)
    assert alignment(z, 7 * z) == pytest.approx(0, abs=1e-6)
    assert alignment(z, -z) == pytest.approx(4, abs=1e-5)


def test_uniformity_does_not_depend_on_the_order_of_the_rows():
    z = torch.randn(12_000, 3, generator=torch.Generator().manual_seed(0))
    z = torch.cat([z[:6000] + 4, z[6000:] - 4])  # two classes, as a folder lists them
    mixed = z[torch.randperm(len(z), generator=torch.Generator().manual_seed(0))]
    assert uniformity(z) == pytest.approx(uniformity(mixed), abs=0.01)


def test_uniformity_of_a_uniform_circle_is_its_closed_form():
    """E exp(-2 |u - v|^2) = exp(-4) I_0(4) on the circle, |u - v|^2 being 2 - 2 cos."""
    angle = torch.arange(4000) / 4000 * 2 * math.pi
    z = torch.stack([angle.cos(), angle.sin()], 1)
    assert uniformity(z) == pytest.approx(-4 + torch.special.i0(torch.tensor(4.0)).log().item(), abs=2e-3)


def test_effective_rank_counts_equal_directions_and_survives_a_collapse():
    z = torch.linalg.qr(torch.randn(200, 3)).Q
    z = torch.linalg.qr(z - z.mean(0)).Q @ torch.linalg.qr(torch.randn(10, 10)).Q[:3]
    assert effective_rank(z) == pytest.approx(3, abs=1e-3)
    assert effective_rank(torch.ones(20, 4)) == pytest.approx(1)


def test_a_bound_that_lies_below_the_picture_is_named_as_such():
    history = [{"epoch": 1, "elbo/validation": 1.0, "mi/dv/validation": 0.9, "mi/nwj/validation": -900.0}]
    nats = curves(history, {}).axes[0]
    labels = [line.get_label() for line in nats.get_lines()]
    assert labels == ["elbo/validation", "mi/dv/validation", "mi/nwj/validation, below"]


def test_the_share_of_noise_is_the_posteriors_variance_also_where_its_mean_is_a_direction():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(20_000, 3, generator=generator)
    z = Normal(mean, torch.full_like(mean, math.log(0.5))).sample(generator)
    assert noise(z, mean) == pytest.approx(0.2, abs=0.01)
    assert noise(mean, mean) == 0 and noise(z, torch.zeros_like(z)) == 1
    saturated = mean * torch.tensor([1.0, 1.0, 0.0])  # as z of the box, where a sigmoid is 1 in float32
    assert noise(saturated, saturated) == 0
    towards, kappa = torch.nn.functional.normalize(mean), torch.full((len(mean),), 2.0)
    z = Spherical(towards, kappa).sample(generator)
    assert noise(z, towards) == pytest.approx(
        1 - (2 / (2 + 3 - 1)) ** 2, abs=0.01
    )  # E z is kappa / (kappa + D - 1) of it
