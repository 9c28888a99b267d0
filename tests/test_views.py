"""More than two views, and one decoder of all of them.

1. A prior of n latents is a density, its samples come from it, and its conditionals are its own.
2. Entropies of joined latents are those of the product space.
3. A window of a sequence is trained as n views from end to end; what has no such form is refused in one line.
"""

import json
import math

import numpy as np
import pytest
import torch

from helpers import FILE_RUN, refused, ssvae, train
from ssvae_cli.critics import Bilinear
from ssvae_cli.distributions.posterior import Joined
from ssvae_cli.distributions.products import Spheres, power
from ssvae_cli.distributions.spaces import SPACES, log_area
from ssvae_cli.encoders.posteriors import Normal
from ssvae_cli.errors import UserError
from ssvae_cli.estimators import KDE, KNN, Classifier, LogDet
from ssvae_cli.estimators import InfoNCE as KWay
from ssvae_cli.priors import VMF, Encoded, Gaussian, InfoNCE, LinearDynamics, Mixture, SharedLatent
from test_priors import moved, proposal

COUNT = 50_000
EUCLIDEAN = {
    "gaussian": lambda n: Gaussian(latent_dim=1, correlation=0.4, learn=True, covariance="correlation", views=n),
    "gaussian full": lambda n: Gaussian(latent_dim=1, correlation=0.4, learn=True, covariance="full", views=n),
    "shared_latent": lambda n: SharedLatent(latent_dim=1, scale=0.7, noise=0.6, learn=True, views=n),
    "mixture": lambda n: Mixture(latent_dim=1, components=3, spread=1.0, views=n),
    "linear_dynamics": lambda n: LinearDynamics(latent_dim=1, stationary=False, persistence=0.5, views=n),
    "linear_dynamics stationary": lambda n: LinearDynamics(latent_dim=1, stationary=True, persistence=0.5, views=n),
}
PRIORS = EUCLIDEAN | {
    "vmf about the first": lambda n: VMF(latent_dim=2, concentration=2.0, learn=True, centre="first", views=n),
    "vmf about a shared direction": lambda n: VMF(latent_dim=2, concentration=2.0, learn=True, views=n),
}


def made(name, views=3):
    prior = moved(PRIORS[name](views))
    return prior, 2 if name.startswith("vmf") else 1


def require_samples(drawn, points, weights):
    """Three latents drawn of P have the means that weighted points of a proposal give."""
    drawn = [z.double() for z in drawn]
    for h in (
        lambda a, b, c: torch.tanh(a[:, 0]) * torch.tanh(b[:, 0]),
        lambda a, b, c: torch.tanh(a[:, 0]) * torch.tanh(c[:, -1]),
        lambda a, b, c: torch.exp(-((a + c - 2 * b) ** 2).sum(1)),
    ):
        of_samples, of_weights = h(*drawn), weights / weights.mean() * (h(*points) - h(*drawn).mean())
        error = math.hypot(of_samples.std().item(), of_weights.std().item()) / math.sqrt(COUNT)
        assert abs(of_weights.mean().item()) < 4.5 * error


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_of_three_latents_is_the_density_of_its_samples(name):
    prior, dim = made(name)
    g = torch.Generator().manual_seed(0)
    points, log_r = zip(*(proposal(prior.space, COUNT, dim, g) for _ in range(3)))
    weights = (prior.log_prob(*points) - sum(log_r)).exp().detach()
    assert abs(weights.mean().item() - 1) < 4 * weights.std().item() / math.sqrt(COUNT) < 0.2
    require_samples(prior.sample(COUNT, dim, g), points, weights)


@pytest.mark.parametrize("name", PRIORS)
def test_a_latent_given_the_others_is_a_density_and_the_first_marginal_and_the_rest_make_the_joint(name):
    prior, dim = made(name)
    g = torch.Generator().manual_seed(0)
    fixed = tuple(z.double() for z in prior.sample(3, dim, g))
    split = prior.log_marginal(fixed[0]) + prior.log_conditional(*fixed)
    assert torch.allclose(split, prior.log_prob(*fixed), atol=1e-9)
    points, log_r = proposal(prior.space, COUNT, dim, g)
    for side in range(3):
        weights = (prior.log_given((*fixed[:side], points, *fixed[side + 1 :]), side) - log_r[:, None]).exp().detach()
        error = weights.std(0) / math.sqrt(COUNT)
        assert ((weights.mean(0) - 1).abs() < 4 * error + 1e-9).all() and (error < 0.05).all()
        whole = prior.log_given(fixed, side)
        moved_own = [z if i != side else z.roll(1, 0) for i, z in enumerate(fixed)]
        differences = prior.log_prob(*fixed) - prior.log_prob(*moved_own)  # the others' density cancels
        of_given = whole.diagonal() - prior.log_given(tuple(moved_own), side).diagonal()
        assert torch.allclose(differences, of_given, atol=1e-9)


@pytest.mark.parametrize("name", PRIORS)
def test_what_follows_the_first_latent_is_drawn_from_the_conditional(name):
    """E_P h by ancestral sampling and by joint sampling agree."""
    prior, dim = made(name)
    g = torch.Generator().manual_seed(0)
    first = prior.sample(COUNT, dim, g)[0].double()
    others = prior.sample_conditional(first, g).double().chunk(2, 1)
    joint = [z.double() for z in prior.sample(COUNT, dim, g)]
    for h in (lambda a, b, c: torch.tanh(a[:, 0] * c[:, 0]), lambda a, b, c: torch.tanh((b[:, -1] - c[:, -1]) ** 2)):
        ancestral, together = h(first, *others), h(*joint)
        error = math.hypot(ancestral.std().item(), together.std().item()) / math.sqrt(COUNT)
        assert abs(ancestral.mean() - together.mean()).item() < 4.5 * error


@pytest.mark.parametrize("name", ["gaussian", "shared_latent", "vmf about a shared direction"])
def test_any_two_of_exchangeable_latents_have_the_law_of_a_pair(name):
    """Of three latents, integrated over the third: the prior of two with the same parameters."""
    three, dim = made(name)
    two = made(name, views=2)[0]
    if name.startswith("vmf"):
        two = VMF(latent_dim=2, concentration=2.0, learn=True, centre="shared").double()
    if name == "gaussian":
        two.raw.data = torch.atanh(three.correlation.detach())
    else:
        two.load_state_dict(three.state_dict())
    g = torch.Generator().manual_seed(0)
    a, b = (z.double() for z in two.sample(2, dim, g))
    points, log_r = proposal(three.space, COUNT, dim, g)
    weights = (three.log_prob(a[:, None], b[:, None], points) - log_r).exp().detach()
    error = weights.std(1) / math.sqrt(COUNT)
    assert ((weights.mean(1) - two.log_prob(a, b).exp()).abs() < 4.5 * error).all()


@pytest.mark.parametrize("given, got", [({"views": 3}, "3 views and centre=shared"), ({"centre": "shared"}, "2 views")])
def test_a_network_of_one_latent_is_of_pairs_about_the_first(given, got):
    with pytest.raises(UserError, match=rf"^predictor=\[4\], .* needs 2 views and centre=first, got {got}"):
        VMF(latent_dim=2, concentration=2.0, learn=True, predictor=[4], **given)


def test_correlations_of_views_below_minus_one_by_the_others_are_refused():
    with pytest.raises(UserError, match="correlation must lie between -0.5 and 1, by 1e-06 at least, got -0.6"):
        Gaussian(latent_dim=2, correlation=-0.6, learn=True, covariance="correlation", views=3)


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_infonce_of_three_views_sums_over_a_star_or_averages_all_ordered_pairs(direction):
    torch.manual_seed(0)
    latents, critic = torch.randn(3, 8, 4).unbind(), Bilinear(latent_dim=4)
    value = InfoNCE(critic=critic, direction=direction, views=3).elbo(KWay(), Encoded(latents, (None,) * 3))
    forward = InfoNCE(critic=critic, direction="forward")
    backward = InfoNCE(critic=critic, direction="backward")
    pair = lambda a, b: (forward if a < b else backward).elbo(
        KWay(), Encoded((latents[min(a, b)], latents[max(a, b)]), (None, None))
    )
    stars = [sum(pair(a, b) for b in range(3) if b != a) for a in range(3)]
    assert torch.allclose(value, stars[0] if direction == "forward" else sum(stars) / 3)


def test_critics_of_their_own_serve_views_by_how_many_places_they_are_apart():
    torch.manual_seed(0)
    latents = torch.randn(4, 8, 3).unbind()
    prior = InfoNCE(critic=Bilinear(latent_dim=3), direction="forward", critics="each", views=4)
    for weight in (p for critic in (prior.critic, *prior.further) for p in critic.parameters()):
        weight.data = torch.randn_like(weight)
    pair = lambda a, b: InfoNCE(critic=prior.critic_of(a, b), direction="forward").elbo(
        KWay(), Encoded((latents[a], latents[b]), (None, None))
    )
    value = prior.elbo(KWay(), Encoded(latents, (None,) * 4))
    assert torch.allclose(value, sum(pair(0, b) for b in range(1, 4)))
    assert prior.critic_of(0, 1) is prior.critic_of(2, 3) is prior.critic
    assert len({id(prior.critic_of(0, b)) for b in range(1, 4)}) == 3 == 1 + len(prior.further)


def test_the_joined_posterior_is_the_product_of_those_of_the_views():
    torch.manual_seed(0)
    posteriors = [Normal(torch.randn(5, 2), torch.randn(5, 2)) for _ in range(3)]
    z = [posterior.sample() for posterior in posteriors]
    table = sum(posterior.log_prob_table(side) for posterior, side in zip(posteriors, z))
    both = Joined(posteriors)
    assert torch.allclose(both.log_prob_table(torch.cat(z, 1)), table)
    assert torch.allclose(both.log_prob(torch.cat(z, 1)), table.diagonal()) and both.stochastic


def test_entropies_on_a_product_of_spheres_are_those_of_uniform_latents_and_lower_for_dependent_ones():
    space, g = Spheres(2), torch.Generator().manual_seed(0)
    sphere = SPACES["sphere"]
    uniform = sphere.sample(torch.empty(4000, 3), g).chunk(2)
    near = torch.nn.functional.normalize(uniform[0] + 0.2 * torch.randn(2000, 3, generator=g))
    estimators = {
        "kde": KDE(),
        "knn": KNN(k=3),
        "logdet": LogDet(),
        "classifier": Classifier(dims=[6], hidden=[32], lr=0.01, steps=30, replay=0),
    }
    for name, estimator in estimators.items():
        of = lambda *sides, e=estimator: e(torch.cat(sides, 1), posterior=None, space=space, side=0).item()
        torch.manual_seed(0)
        assert of(*uniform) == pytest.approx(2 * log_area(3), abs=0.15), name
        assert of(uniform[0], near) < 2 * log_area(3) - 0.5, name


def test_latents_of_a_plane_and_of_a_box_join_in_one_of_their_kind():
    assert power(SPACES["euclidean"], 3) is SPACES["euclidean"] and power(SPACES["box"], 2) is SPACES["box"]
    assert power(SPACES["sphere"], 1) is SPACES["sphere"] and power(SPACES["sphere"], 3).count == 3


SMALL = ["encoder.latent_dim=3", "evaluation.metrics.knn=null"]


@pytest.mark.parametrize("prior", ["vmf", "gaussian"])
def test_a_joint_decoder_trains_under_an_explicit_prior_and_its_elbo_is_minus_the_kl(prior, tmp_path):
    summary = train(tmp_path, "decoder=implicit_joint", f"prior={prior}", *SMALL)
    assert summary["elbo/test"] == pytest.approx(-summary["kl/test"], abs=1e-9)
    assert summary["elbo/test/low"] <= summary["elbo/test"] <= 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "prior=mi",
            "P is Q, so its ELBO would be -KL(Q || Q) = 0 whatever the encoder; allowed: prior=categorical, prior=ga",
        ),
        ("prior=infonce", "its ELBO would contain I, which is not estimated; allowed: prior=categorical"),
        ("prior=energy", "its ELBO would contain I"),
        ("prior=unstructured_normal", "it sees one view"),
        ("prior=categorical posterior=categorical", "estimator=aggregate cannot serve prior=categorical with decoder="),
        ("prior=gaussian estimator=conditionals", "cannot serve prior=gaussian with decoder=implicit_joint; allowed"),
    ],
)
def test_what_a_joint_decoder_cannot_serve_is_refused_in_one_line(words, said, tmp_path, capfd):
    arguments = ("train", "decoder=implicit_joint", *words.split(), f"hydra.run.dir={tmp_path}/run")
    assert said in refused(capfd, *arguments) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("prior=laplace pairs.views=3", "prior=laplace is of 2 latents, and the pairs have 3 views; allowed for any"),
        ("prior=energy pairs.views=3", "prior=energy is of 2 latents"),
        ("prior.direction=backward pairs.views=3", "prior.direction must be forward, a star from the first, or both"),
        ("pairs.views=1", "pairs.views must be at least 2, got 1"),
        ("pairs=patches pairs.views=10", "pairs.views must lie between 2 and 9"),
    ],
)
def test_what_has_no_form_of_n_views_is_refused_in_one_line(words, said, tmp_path, capfd):
    assert said in refused(capfd, "train", *words.split(), f"hydra.run.dir={tmp_path}/run")


def test_windows_of_series_of_unequal_length_train_from_end_to_end_and_are_read(tmp_path):
    rng = np.random.default_rng(0)
    length = rng.integers(6, 12, 90)
    x = rng.normal(size=(90, 12, 3)).cumsum(1) + 3 * (np.arange(90) % 2)[:, None, None]
    x[np.arange(12) >= length[:, None]] = np.nan
    np.savez(tmp_path / "series.npz", x=x, length=length, y=np.arange(90) % 2)
    words = [f"dataset.path={tmp_path}/series.npz", "dataset=sequences", "pairs=window", "pairs.length=4"]
    words += ["prior=linear_dynamics", "encoder.latent_dim=2", "encoder.backbone.hidden=[16]"]
    assert ssvae("train", *words, *FILE_RUN, f"hydra.run.dir={tmp_path}/run") == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert math.isfinite(summary["elbo/test/high"]) and summary["probe/linear/test"] > 0.5
    log = (tmp_path / "run" / "train.log").read_text()
    assert "series of 6 to 11 steps" in log
    assert summary["kl/test"] is None and "I and KL are read of pairs, and these are 4 views" in log
