"""The ELBO and the evidence as evaluation reads them, where x, z and Q(z|x) = N(A x, S^2) are normal, a dimension each.

1. With an explicit decoder the evidence is log P(x) in closed form, and the ELBO lies below it by the posterior's KL.
2. Of a pair the evidence is log E of P(z, z') / Q(z) Q(z') over both posteriors, by quadrature.
3. Under a prior of scores the ratio is f over its mean over fresh views of all sources, in each direction.
4. An ELBO above the most that a prior or the data allow is missing.
5. Of a stochastic encoder, and of one that is smoothed by noise, the ELBO is enclosed; of a deterministic one it has an
   upper end.
6. Errors are those over sets of data, however few.
7. The noise of a row is another one in each split, and none of it a sample of P: fits to train know nothing of test.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from ssvae_cli.critics import RBF, Bilinear
from ssvae_cli.datasets import Data, Split
from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.encoders import Encoder, posteriors
from ssvae_cli.errors import UserError
from ssvae_cli.estimators import InfoNCE, LogDet
from ssvae_cli.evaluation import Evaluation, seeds
from ssvae_cli.evaluation.elbo import ELBO, error_of_influence, influence
from ssvae_cli.evaluation.estimate import INTERVAL, Z95, Estimate
from ssvae_cli.evaluation.explicit import CONTRADICTION
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import Identity
from ssvae_cli.pairs.context import Context
from ssvae_cli.priors import VMF, Energy, Gaussian, UnstructuredNormal
from ssvae_cli.priors import InfoNCE as InfoNCEPrior
from ssvae_cli.priors.scored import Marginals

A, S, NOISE, RHO, PAIRS = 0.6, 0.8, 0.7, 0.7, 400
X = torch.randn(2, PAIRS, 1, generator=torch.Generator().manual_seed(5))  # not the stream of the views
DATA = Data(*[Split(X[0], torch.full((PAIRS,), -1), x_prime=X[1])] * 3)


FIXED = {"learn": False, "covariance": "correlation"}


class Linear(nn.Module):
    """Q(z|x) = N(A x, S^2)."""

    stochastic = True

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(A))

    def forward(self, x):
        return posteriors.Normal(self.a * x, torch.full_like(x, math.log(S)))


class Decoder(nn.Module):
    """P(x|z) = N(z, NOISE^2)."""

    def log_likelihood(self, x, z):
        return Normal(z, NOISE).log_prob(x).sum(1)


class Pixels(Identity):
    mean, std = 0.0, 1.0


class Exact:
    """Stands for a fitted density: log Q of a latent in closed form."""

    def __init__(self, log_q):
        self.log_q = log_q

    def shortened(self, share):
        return self

    def __call__(self, train, validation, space, like=None):
        return lambda context, y: self.log_q(y)


def measured(prior, *, samples, decoder=None, density=None, noise=None, encoder=None):
    """The metric's numbers on test; density: log Q of a latent, in place of one that is fitted."""
    encoder = encoder or Linear()
    estimator = None if decoder else LogDet() if prior.needs_densities else InfoNCE()
    objective = Objective(encoder=encoder, encoder_prime=None, prior=prior, estimator=estimator, decoder=decoder)
    reading = Reading(objective, Pixels(), DATA, fitting_pairs=PAIRS, density=Exact(density), noise=noise)
    return ELBO(anchors=PAIRS, evidence_samples=samples)(reading, "test")


def test_the_evidence_of_a_linear_gaussian_vae_is_log_p_of_x_and_its_elbo_lies_below_by_the_kl():
    x = X[0]
    evidence = Normal(0, math.hypot(1, NOISE)).log_prob(x)
    posterior = Normal(x / (1 + NOISE**2), math.sqrt(NOISE**2 / (1 + NOISE**2)))
    gap = kl_divergence(Normal(A * x, torch.tensor(S)), posterior)
    found = measured(UnstructuredNormal(), decoder=Decoder(), samples=1000)
    assert found["evidence/test"] == pytest.approx(evidence.mean().item(), abs=0.01)
    assert found["elbo/test"] == pytest.approx((evidence - gap).mean().item(), abs=0.01) and gap.mean() > 0.1


def test_the_evidence_of_pairs_is_the_mean_ratio_over_both_posteriors():
    """Its ELBO is the mean log ratio. Quadrature over the two posteriors, Q(z) = N(0, A^2 + S^2)."""
    marginal = Normal(0, math.hypot(A, S))
    prior = Gaussian(latent_dim=1, correlation=RHO, learn=False, covariance="correlation")
    found = measured(prior, samples=1000, density=lambda z: marginal.log_prob(z).sum(1))
    nodes, weights = (torch.from_numpy(t).float() for t in np.polynomial.hermite_e.hermegauss(40))
    weights = weights / weights.sum()
    z, z_prime = (A * side[..., None] + S * nodes for side in X)  # [PAIRS, 1, 40]
    z, z_prime = z.mT.expand(-1, 40, 40), z_prime.expand(-1, 40, 40)
    log_p = Normal(0, 1).log_prob(z) + Normal(RHO * z, math.sqrt(1 - RHO**2)).log_prob(z_prime)
    log_ratio = log_p - marginal.log_prob(z) - marginal.log_prob(z_prime)
    over = lambda values: torch.einsum("nij,i,j->n", values, weights, weights)
    evidence, elbo = over(log_ratio.exp()).log().mean().item(), over(log_ratio).mean().item()
    gap = found["evidence/test"] - found["elbo/test"]
    assert gap == pytest.approx(evidence - elbo, abs=0.01) and gap > 0.1
    assert found["elbo/test"] == pytest.approx(elbo, abs=4 * found["elbo/test/error"])


def test_the_evidence_under_a_prior_of_scores_is_each_directions_mean_ratio_over_samples():
    """The same draws, one pair at a time."""
    samples, generator = 3, torch.Generator().manual_seed(seeds.VIEWS["test"])
    draws = [[A * x + S * torch.randn(x.shape, generator=generator) for x in X] for _ in range(2 * samples)]
    sources, sources_prime = draws[0]  # the views of all sources come first, then those of the pairs
    weight, evidence, elbo = 1.5, [], []
    f = lambda z, z_prime: (weight * z * z_prime).exp()
    for i in range(PAIRS):
        pairs = [(z[i], z_prime[i]) for z, z_prime in draws[samples:]]
        forward = torch.cat([f(z, z_prime) / f(z, sources_prime).mean() for z, z_prime in pairs])
        backward = torch.cat([f(z, z_prime) / f(sources, z_prime).mean() for z, z_prime in pairs])
        evidence += [forward.mean().log(), backward.mean().log()]
        elbo += [forward.log().mean(), backward.log().mean()]
    critic = Bilinear(latent_dim=1)
    critic.weight.data.fill_(weight)
    found = measured(InfoNCEPrior(critic=critic, direction="both"), samples=samples)
    assert found["evidence/test"] == pytest.approx(torch.stack(evidence).mean().item(), abs=1e-4)
    assert found["elbo/test"] == pytest.approx(torch.stack(elbo).mean().item(), abs=1e-4)


@pytest.mark.parametrize("kind, critic", [(InfoNCEPrior, Bilinear(latent_dim=1)), (Energy, RBF(bandwidth=0.6))])
def test_the_error_of_an_elbo_of_scores_is_its_deviation_over_sets_of_data(kind, critic):
    """The sources vary from set to set as anchors and as candidates: by the anchors alone it is 1.4 and 0.8 times."""
    torch.manual_seed(0)
    prior, rows = kind(critic=critic, direction="both"), torch.arange(0, 100, 2)
    values, errors = [], []
    for _ in range(150):
        shared = math.sqrt(0.8) * torch.randn(100, 1)
        z, z_prime, *sources = (shared + math.sqrt(0.2) * torch.randn(100, 1) for _ in range(4))
        with torch.no_grad():
            held_out = prior.read((z[rows], z_prime[rows]), Marginals(tuple(sources), rows))
        values.append(held_out.log_ratio.mean().item())
        errors.append(error_of_influence(influence(prior, held_out.scores, 100), anchors=50))
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.15)


def test_scores_in_float64_have_an_error_too():
    """A critic of a user's own may compute in it."""
    latents, rows = torch.randn(4, 20, 1), torch.arange(20)
    prior = InfoNCEPrior(critic=Bilinear(latent_dim=1), direction="forward")
    held_out = [prior.to(z).read((z[0], z[1]), Marginals((z[2], z[3]), rows)) for z in (latents, latents.double())]
    single, double = (influence(prior, each.scores, 20) for each in held_out)
    assert double.dtype == torch.float64 and torch.allclose(single.double(), double, atol=1e-6)


def test_where_the_views_of_a_source_depend_on_each_other_the_elbo_is_at_most_log_n():
    """Steps that neighbours tell from all other steps of their sequence, and so from a fresh view of it."""
    ramps = 100 * torch.arange(20.0)[:, None, None] + torch.arange(50.0)[:, None]
    split = Split(ramps, torch.full((20,), -1))
    pairs = Context(window=1, ahead=1, future=1, then=Pixels())
    encoder = Encoder(shape=(1, 1), backbone=nn.Flatten(), latent_dim=1, projector=[])
    encoder.projector[-1].weight.data.fill_(1.0)
    prior = InfoNCEPrior(critic=RBF(bandwidth=1.0), direction="forward")
    objective = Objective(encoder=encoder, encoder_prime=None, prior=prior, estimator=InfoNCE(), decoder=None)
    reading = Reading(objective, pairs, Data(split, split, split), fitting_pairs=20, density=None, noise=None)
    found = ELBO(anchors=20, evidence_samples=1)(reading, "test")
    assert math.log(20) - 0.01 < found["elbo/test"] <= math.log(20) + 1e-4
    assert reading.most_information()[0] == math.log(3 * 20 * 50)  # of all that an encoder could tell of a pair


@pytest.mark.parametrize("views, value, missing", [(1, 0.31, True), (1, 0.29, False), (1, -2.0, False), (2, 9.0, True)])
def test_an_elbo_above_what_is_possible_by_three_errors_is_missing(views, value, missing):
    """Above 0 under an unstructured prior, above the log of the number of sources under any."""
    prior = UnstructuredNormal() if views == 1 else Gaussian(latent_dim=1, correlation=0.0, **FIXED)
    rows = torch.randn(PAIRS)
    rows = value + 0.1 * math.sqrt(PAIRS) * (rows - rows.mean()) / rows.std()
    found = measured(prior, samples=1, density=Shifted(prior, rows / views), encoder=Delta())
    if missing:
        assert f"it reads {value:.2f} nats, above the maximum of" in found["elbo/test"].reason
    else:
        assert found["elbo/test"] == pytest.approx(value, abs=1e-4)


class Shifted:
    """log P of a latent less some number for each row."""

    def __init__(self, prior, rows):
        self.prior, self.rows = prior, rows

    def __call__(self, z):
        return self.prior.log_marginal(z) - self.rows


class Delta(Linear):
    """z = A x."""

    stochastic = False

    def forward(self, x):
        return posteriors.Delta(self.a * x)


def test_the_elbo_of_a_stochastic_encoder_is_enclosed_by_its_posteriors():
    """Whatever density was fitted: here one that says nothing."""
    marginal, prior = Normal(0, math.hypot(A, S)), Gaussian(latent_dim=1, correlation=RHO, **FIXED)
    found = measured(prior, samples=1, density=lambda z: -50 * z.square().sum(1).double())
    z, e = torch.randn(2, 2, 20000, generator=torch.Generator().manual_seed(1))
    z, z_prime = A * z + S * e
    exact = (prior.log_prob(z[:, None], z_prime[:, None]) - marginal.log_prob(z) - marginal.log_prob(z_prime)).mean()
    assert found["elbo/test/low"] < exact < found["elbo/test/high"] < found["elbo/test/low"] + 1
    assert abs(found["elbo/test"] - exact) < 4 * found["elbo/test/error"] < 1


def test_ends_of_an_elbo_that_contradict_each_other_are_missing():
    """The density is one that knows test by heart, as where the same samples are in train."""
    marginal, prior = Normal(0, math.hypot(A, S)), Gaussian(latent_dim=1, correlation=RHO, **FIXED)
    found = measured(prior, samples=1, density=lambda z: marginal.log_prob(z).sum(1) + 1.0)
    assert {found[f"elbo/test{end}"].reason for end in INTERVAL} == {CONTRADICTION.reason}


def test_the_elbo_of_a_deterministic_encoder_has_one_end_and_that_of_a_smoothed_one_both():
    prior = Gaussian(latent_dim=1, correlation=RHO, **FIXED)
    density = lambda std: lambda z: Normal(0, std).log_prob(z).sum(1)
    delta = measured(prior, samples=1, density=density(A), encoder=Delta())
    assert "evaluation.noise" in delta["elbo/test/low"].reason
    assert delta["elbo/test"] < delta["elbo/test/high"]
    smooth = measured(prior, samples=1, density=density(math.hypot(A, S)), encoder=Delta(), noise=S)
    assert smooth["elbo/test/low"] < smooth["elbo/test"] < smooth["elbo/test/high"]


def test_noise_on_a_sphere_is_refused():
    evaluation = Evaluation(metrics={}, fitting_pairs=1, density=None, noise=0.1)
    with pytest.raises(UserError, match="evaluation.noise needs z in R\\^D, got a prior on the sphere"):
        evaluation.require_served(SimpleNamespace(prior=VMF(latent_dim=3, concentration=1.0, learn=False)))


@pytest.mark.parametrize("count", [3, 30])
def test_an_interval_of_a_mean_of_few_terms_holds_it_in_95_percent(count):
    estimates = [
        Estimate.of_mean(terms) for terms in torch.randn(1000, count, generator=torch.Generator().manual_seed(0))
    ]
    held = np.mean([abs(value) <= Z95 * error for value, error in estimates])
    assert held == pytest.approx(0.95, abs=0.02)


def test_the_splits_share_no_noise_with_each_other_or_with_samples_of_p():
    """With one seed for all, densities knew test by heart: the ELBO's lower end lay 2.7 nats above the upper."""
    objective = Objective(
        encoder=Linear(), encoder_prime=None, prior=UnstructuredNormal(), estimator=LogDet(), decoder=None
    )
    reading = Reading(objective, Pixels(), DATA, fitting_pairs=PAIRS, density=None)
    noise = [(reading.latents(split)[0] - A * X[0]).flatten() / S for split in DATA.splits]
    for seed in range(3):
        with own_stream(seeds.PRIOR + seed, noise[0].device):
            noise.append(torch.randn(PAIRS, 1).flatten())
    related = torch.corrcoef(torch.stack(noise)).fill_diagonal_(0)
    assert related.abs().max() < 0.25
