"""I, KL(Q || P) and the residual of Eq. 23 against closed forms on normals with correlation RHO (nats)."""

import itertools
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from helpers import normal_pairs
from ssvae_cli.critics import Bilinear, Cosine, Separable
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.distributions.von_mises_fisher import log_normaliser, mean_cosine, sample
from ssvae_cli.evaluation.densities import Densities, DensityFit
from ssvae_cli.evaluation.elbo_parts import ELBOParts
from ssvae_cli.evaluation.eq23 import KEYS, Eq23, residual_values
from ssvae_cli.evaluation.estimate import Enclosed, Estimate
from ssvae_cli.evaluation.explicit import Explicit
from ssvae_cli.evaluation.fit import Fit, PairedStop, fit
from ssvae_cli.evaluation.fresh_critics import lower_bound
from ssvae_cli.evaluation.ratio import RatioFit, normaliser
from ssvae_cli.priors import MI, VMF, Energy, ExplicitPrior, Gaussian, InfoNCE, UnstructuredLaplace

RHO, B, DIM = 0.8, 0.5, 2
INFORMATION = -0.5 * DIM * math.log(1 - RHO**2)


def normals(count, seed):
    return tuple(side.float() for side in normal_pairs(count, DIM, RHO, torch.Generator().manual_seed(seed)))


SPLITS = [normals(4000, 0), normals(1000, 1), normals(2000, 2)]


def eq23():
    """The metric as conf/metric/eq23.yaml has it, its classifiers smaller."""
    ratio = RatioFit(hidden=[64], steps=250, batch_size=256, lr=0.004, eval_every=50)
    return Eq23(
        critic=lambda latent_dim: Separable(latent_dim=latent_dim, hidden=[256], embedding_dim=64),
        critic_fit=Fit(steps=300, batch_size=256, lr=0.003, eval_every=50, patience=3),
        scored=4096,
        classifier=ratio,
        samples=20_000,
    )


def fitted(space, train, validation, test):
    training = Fit(steps=100, batch_size=256, lr=0.01, eval_every=25, patience=2)
    fit = DensityFit(hidden=32, components=3, clusters=[], training=training)
    return Densities(fit, space, train, validation, test, len(train[0]))


OF_SPLITS = fitted(SPACES["euclidean"], *SPLITS)  # of Q, whatever the prior


def explicit(prior, splits):
    return Explicit(prior, splits[2], OF_SPLITS if splits is SPLITS else fitted(prior.space, *splits))


def enclosed(value, error=0.01):
    return Enclosed(value, error, value - 2 * error, value + 2 * error)


def information(metric, *splits):
    return lower_bound(metric.critic, metric.critic_fit, metric.scored, *splits)


@torch.no_grad()
def both_sides(prior, elbo, splits, metric=None):
    """The keys of the metric; elbo: None for the one that is read."""
    metric = metric or eq23()
    bound = information(metric, *splits) if len(splits[0]) == 2 else None
    if prior.needs_densities:
        read = explicit(prior, splits)
        elbo = read.elbo() if elbo is None else elbo
        values, residual = metric.of_explicit(read, elbo, bound, math.inf, "")
    else:
        values, residual = metric.of_scores(prior, elbo, bound, *splits)
    return dict.fromkeys(KEYS) | values | residual_values(values, elbo, residual, equation=23)


def scored(kind, direction="forward", b=B):
    critic = Bilinear(latent_dim=DIM)
    critic.weight.data = b * torch.eye(DIM)
    return kind(critic=critic, direction=direction)


def gaussian(correlation):
    return Gaussian(latent_dim=DIM, correlation=correlation, learn=False, covariance="correlation")


OF_GAUSSIAN = DIM * (-0.5 * math.log(1 - 0.3**2) - (1 - 0.3 * RHO) / (1 - 0.3**2) + 1)
PRIORS = {  # the ELBO in closed form, so that KL = INFORMATION - ELBO
    "infonce": (scored(InfoNCE), DIM * (B * RHO - B**2 / 2)),
    "infonce, both directions": (scored(InfoNCE, "both"), DIM * (B * RHO - B**2 / 2)),
    "energy": (scored(Energy), DIM * (B * RHO + 0.5 * math.log(1 - B**2))),
}


@pytest.mark.parametrize("name", PRIORS)
def test_the_kl_is_that_of_the_closed_form(name):
    prior, elbo = PRIORS[name]
    with torch.no_grad():
        kl, _ = eq23().divergence(prior, *SPLITS)
    assert INFORMATION - elbo > 0.3, "there is something to find"
    assert abs(kl.value - (INFORMATION - elbo)) < 2 * kl.error + 0.06 and kl.error < 0.2


def test_where_p_is_q_the_kl_is_zero_and_said_to_be_exact():
    found = both_sides(scored(MI), enclosed(INFORMATION), SPLITS)
    assert found["kl/test"] == 0 and found["kl/source"] == "exact: P is Q"


def test_a_classifier_that_stays_where_it_started_is_said_to_have_found_nothing():
    """What it learns on train is wrong on validation, where z' has the other sign."""
    train, (z, z_prime), test = SPLITS
    found = both_sides(scored(InfoNCE, b=0.0), enclosed(0.0), (train, (z, -z_prime), test))
    assert found["kl/test"] == 0 and found["kl/source"] == "classifier: found no difference"


def test_the_information_is_bounded_from_below_and_closely():
    found = information(eq23(), *SPLITS)
    assert INFORMATION - 0.1 < found.value < INFORMATION + 4 * found.error


def test_a_critic_without_parameters_is_read_as_it_is():
    metric = replace(eq23(), critic=lambda latent_dim: Cosine(temperature=1.0, learn_temperature=False))
    assert 0 < information(metric, *SPLITS).value < INFORMATION


def test_all_sides_under_an_explicit_prior_are_those_of_the_closed_form_and_the_kl_is_split():
    """P(z) is Q(z) here, so the KL is that of the conditional."""
    found = both_sides(gaussian(0.3), None, SPLITS)
    for name, exact in (("mi/fresh/test", INFORMATION), ("kl/test", INFORMATION - OF_GAUSSIAN)):
        assert abs(found[name] - exact) < 3 * found[f"{name}/error"] < 0.3
    assert found["mi/fresh/test/low"] < INFORMATION and found["kl/test/low"] < INFORMATION - OF_GAUSSIAN
    assert abs(found["kl/marginal/test"]) < 0.05
    assert found["kl/marginal/test"] + found["kl/conditional/test"] == pytest.approx(found["kl/test"])
    assert abs(found["eq23/residual_in_errors"]) < 4


def test_the_residual_shows_an_elbo_that_is_wrong():
    found = both_sides(gaussian(0.3), enclosed(OF_GAUSSIAN + 1), SPLITS)
    assert found["eq23/residual"] == pytest.approx(-1, abs=0.1) and found["eq23/residual_in_errors"] < -4


@pytest.mark.parametrize("wrong", ["a constant", "another correlation"])
def test_the_residual_shows_a_log_p_that_is_not_the_density_of_the_samples_of_p(wrong):
    class Wrong(Gaussian):
        def log_prob(self, z, z_prime):
            if wrong == "a constant":
                return super().log_prob(z, z_prime) + 1.0
            return gaussian(0.3).log_prob(z, z_prime)

    found = both_sides(Wrong(latent_dim=DIM, correlation=0.8, learn=False, covariance="correlation"), None, SPLITS)
    assert abs(found["eq23/residual_in_errors"]) > 5 and abs(found["eq23/residual"]) > 0.5


def test_a_ratio_is_normalised_over_p_where_samples_of_p_reach_q():
    z = torch.randn(20_000, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near, far = (shift * z.sum(1) - 0.5 * DIM * shift**2 for shift in (0.8, 5.0))  # log N(shift, I) / N(0, I)
    found = normaliser(near + 0.3)
    assert abs(found.value - 0.3) < 3 * found.error < 0.1
    assert normaliser(far).error == math.inf


def test_with_the_encoders_marginal_the_kl_is_that_of_the_conditional():
    prior = Gaussian(latent_dim=DIM, correlation=0.3, learn=False, covariance="correlation", marginal="encoder")
    twice = [tuple(2 * z for z in split) for split in SPLITS]  # P(z) does not matter
    found = both_sides(prior, None, twice)
    left = 4 * (1 - 2 * 0.3 * RHO + 0.3**2) / (1 - 0.3**2)  # E of the squared step over its variance
    kl = DIM * (-0.5 * math.log((1 - RHO**2) * 4 / (1 - 0.3**2)) - 0.5 + 0.5 * left)
    assert abs(found["kl/test"] - kl) < 3 * found["kl/test/error"] < 0.5
    assert found["kl/marginal/test"] == 0.0 and abs(found["eq23/residual_in_errors"]) < 4


def test_impossible_numbers_are_missing_with_the_reason():
    values, _ = eq23().of_explicit(
        explicit(gaussian(0.3), SPLITS), None, Estimate(0.1, 0.1), 0.5, "I(x; x') of the data"
    )
    assert "above the maximum of 0.5, I(x; x') of the data" in values["mi/fresh/test"].reason

    class TooHigh(Gaussian):
        def log_prob(self, z, z_prime):
            return super().log_prob(z, z_prime) + 9.0

    prior = TooHigh(latent_dim=DIM, correlation=0.3, learn=False, covariance="correlation")
    values, _ = eq23().of_explicit(explicit(prior, SPLITS), None, Estimate(0.1, 0.1), math.inf, "")
    assert "below the minimum of 0" in values["kl/test"].reason


def test_an_unstructured_prior_has_the_kl_of_one_marginal_and_no_information():
    """KL(N(0, 1) || Laplace(1)) = log 2 + E|z| - H, a dimension."""
    kl = DIM * (math.log(2) + math.sqrt(2 / math.pi) - 0.5 * math.log(2 * math.pi * math.e))
    found = both_sides(UnstructuredLaplace(), None, [(z,) for z, _ in SPLITS])
    assert found["mi/fresh/test"] is None and found["kl/conditional/test"] is None
    assert found["kl/test"] == pytest.approx(kl, abs=0.05)
    assert abs(found["eq23/residual"]) < 0.05


def test_on_the_sphere_the_sides_are_found():
    """Q is vMF(z, 10) about a uniform z, P the same with 2: KL = log C(10) - log C(2) + 8 E cos."""
    prior, dim = VMF(latent_dim=3, concentration=2.0, learn=False), 3
    ten, two = torch.tensor(10.0).double(), torch.tensor(2.0).double()
    g = torch.Generator().manual_seed(0)
    z = prior.space.sample(torch.empty(5000, dim), g)
    pairs = [side.split([2000, 1000, 2000]) for side in (z, sample(z, ten, g))]
    read = explicit(prior, list(zip(*pairs)))
    exact = (log_normaliser(ten, dim) - log_normaliser(two, dim) + 8 * mean_cosine(ten, dim)).item()
    kl = read.divergence()
    assert abs(kl.value - exact) < 3 * kl.error < 0.3 and exact > 0.5


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("kind", [InfoNCE, Energy])
def test_resampled_pairs_come_from_the_prior(kind, direction):
    """E z z' under P by resampling, and by weighting independent pairs by P / Q(z) Q(z')."""
    prior, (z, z_prime) = scored(kind, direction), normals(1000, 3)
    torch.manual_seed(0)
    drawn = torch.cat([prior.samplers((z, z_prime))[0](torch.empty(4000, 1)) for _ in range(5)])
    f = prior.critic(z, z_prime).exp()
    over = {"forward": f.sum(1, keepdim=True), "backward": f.sum(0)}[direction] if kind is InfoNCE else f.sum()
    weights = (f / over) / (f / over).sum()
    product = z @ z_prime.T
    expected = (weights * product).sum()
    rows = (drawn[:, :DIM] * drawn[:, DIM:]).sum(1)
    assert abs(rows.mean() - expected) < 5 * rows.std() / math.sqrt(len(rows))
    assert expected > 0.4


def test_the_log_shows_a_coupling_and_the_marginals_where_the_prior_has_both_of_them():
    """Where P(z) = Q(z), P(z') is no longer the one that the prior writes, and z' is not read against that one."""
    line = explicit(Gaussian(latent_dim=DIM, correlation=B, learn=False, covariance="correlation"), SPLITS).in_parts
    numbers = re.findall(r"(?:test: |coupling |\)\) )(-?\d+\.\d+)", line(Enclosed(0.4, 0.1, None, None)))
    elbo, coupling, *kls = map(float, numbers)
    assert elbo == 0.4 and coupling - sum(kls) == pytest.approx(elbo, abs=0.002) and len(kls) == 2
    free = Gaussian(latent_dim=DIM, correlation=B, learn=False, covariance="correlation", marginal="encoder")
    assert explicit(free, SPLITS).in_parts(Enclosed(0.4, 0.1, None, None)).endswith("standard error 0.100")


def test_a_part_of_a_kl_below_0_by_more_than_chance_is_missing():
    """P(z) is too likely by 2 nats, as of a law whose formula is wrong."""

    class TooLikely(Gaussian):
        def log_marginal(self, z, side=0):
            return super().log_marginal(z, side) + 2.0

    prior = TooLikely(latent_dim=DIM, correlation=B, learn=False, covariance="correlation")
    read = explicit(prior, SPLITS)
    assert "below the minimum of 0" in read.marginal_divergence().value.reason
    assert read.divergence().value > 0


def test_a_prior_that_cannot_be_sampled_has_no_residual():
    class Unsampled(UnstructuredLaplace):
        sample = ExplicitPrior.sample

    found = both_sides(Unsampled(), None, [z[:1] for z in SPLITS])
    assert "no samples" in found["eq23/residual"].reason and found["kl/test"] > 0


def parts_of(prior, elbo, views=2):
    """I and KL on validation, of the normals, as conf/metric/elbo_parts.yaml reads them."""
    metric = ELBOParts(critic=eq23().critic, critic_fit=eq23().critic_fit, scored=4096)
    latents = lambda split: (SPLITS[0] if split == "train" else SPLITS[2])[:views]
    objective = SimpleNamespace(joint=False, decoder=None, prior=prior)
    reading = SimpleNamespace(objective=objective, latents=latents, fitting_latents=latents)
    reading.estimates = {"elbo/validation": elbo}
    return metric(reading, "validation")


def test_while_training_the_elbo_is_i_less_kl_and_under_mi_the_kl_is_0():
    information, kl = parts_of(scored(InfoNCE), 0.5).values()
    assert INFORMATION - 0.2 < information < INFORMATION + 0.1 and kl == information - 0.5
    assert parts_of(scored(MI), 0.9)["kl/validation"] == 0.0
    assert list(parts_of(scored(InfoNCE), None).values())[1] is None
    assert set(parts_of(UnstructuredLaplace(), -0.1, views=1).values()) == {None}


def test_a_fit_ends_once_held_out_samples_say_that_it_has_passed_its_optimum():
    """A fall of every sample ends it, noise of the same size does not; the best weights are kept."""
    network = torch.nn.Linear(1, 1)
    noise = torch.randn(20, 400, generator=torch.Generator().manual_seed(0))

    def curve(fall: float, spread: float):
        stop, now = PairedStop(), itertools.count()
        rise = lambda n: 0.1 * min(n, 4) - fall * max(n - 4, 0)
        validate = lambda: stop.rate(rise(n := next(now)) + spread * noise[n])
        objective = lambda: network(torch.zeros(1, 1)).sum()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
        return fit(network, objective, validate, optimizer, steps=10, eval_every=1, ended=stop)

    assert curve(fall=0.05, spread=0.01).steps[-1] == 5
    assert curve(fall=0.05, spread=0.01).chosen == 4
    assert curve(fall=0.001, spread=0.3).steps[-1] == 10
