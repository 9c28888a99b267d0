"""The paper's identities, held to exact sums and closed forms (nats).

1. On a finite alphabet I - KL(Q || P) equals the InfoNCE limit, to 1e-12, for random Q and f.
2. The InfoNCE prior is normalised over z' given z, and only in its own direction.
3. On correlated normals, large samples agree with the closed forms of I, bilinear and rbf scores, gaussian priors.
"""

import math

import pytest
import torch

from helpers import normal_pairs
from ssvae_cli.critics import RBF, Bilinear
from ssvae_cli.estimators import DV, NWJ, Classifier, LeaveOneOut
from ssvae_cli.estimators import InfoNCE as KWay
from ssvae_cli.priors import Encoded, Gaussian, InfoNCE
from ssvae_cli.scores import DenseScores
from ssvae_cli.verify.enumerated import EnumeratedScores


def random_table(seed, n=7, m=7):
    """(joint [n, m], log f [n, m]) in float64, far from symmetric."""
    g = torch.Generator().manual_seed(seed)
    joint = torch.rand(n, m, generator=g, dtype=torch.float64) ** 3
    return joint / joint.sum(), 2 * torch.randn(n, m, generator=g, dtype=torch.float64)


def prior_table(joint, log_f):
    """log P(z, z') of the shipped InfoNCE prior on the alphabet, [n, m]."""
    prior = InfoNCE(critic=torch.nn.Identity(), direction="forward")
    ratio = prior.log_ratio(EnumeratedScores(log_f, joint)).reshape(joint.shape)
    return ratio + joint.sum(1, keepdim=True).log() + joint.sum(0).log()


@pytest.mark.parametrize("shape", [(7, 7), (5, 9)])
@pytest.mark.parametrize("seed", range(5))
def test_information_minus_kl_equals_the_infonce_limit(seed, shape):
    joint, log_f = random_table(seed, *shape)
    independent = joint.sum(1, keepdim=True) * joint.sum(0)
    information = (joint * (joint / independent).log()).sum()
    kl = (joint * (joint.log() - prior_table(joint, log_f))).sum()
    assert kl > 0.01  # the identity is not trivially 0 = 0
    for estimator in (LeaveOneOut(), KWay()):
        assert abs(information - kl - estimator(EnumeratedScores(log_f, joint))) < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_infonce_prior_keeps_the_marginal_of_the_anchor_alone(seed):
    joint, log_f = random_table(seed)
    p = prior_table(joint, log_f).exp()
    assert torch.allclose(p.sum(1), joint.sum(1), rtol=1e-12, atol=0)
    assert not torch.allclose(p.sum(0), joint.sum(0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_optimal_critic_gives_the_information_under_every_bound(seed):
    joint, _ = random_table(seed)
    pointwise = (joint / (joint.sum(1, keepdim=True) * joint.sum(0))).log()
    information = (joint * pointwise).sum()
    assert abs(KWay()(EnumeratedScores(pointwise, joint)) - information) < 1e-12
    assert abs(DV()(EnumeratedScores(pointwise, joint)) - information) < 1e-12
    assert abs(NWJ()(EnumeratedScores(pointwise + 1, joint)) - information) < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_leave_one_out_is_at_least_dv_is_at_least_nwj_for_one_f(seed):
    scores = EnumeratedScores(*reversed(random_table(seed)))
    assert LeaveOneOut()(scores) >= DV()(scores) >= NWJ()(scores)


def test_a_pair_that_never_occurs_adds_nothing():
    joint = torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.float64)
    log_f = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]], dtype=torch.float64)
    assert abs(LeaveOneOut()(EnumeratedScores(log_f, joint)) - math.log(2)) < 1e-12


def batches(score, estimator, dim, rho, count=60, size=1500):
    """Mean and standard error of an estimator over independent batches."""
    g = torch.Generator().manual_seed(0)
    values = []
    for _ in range(count):
        z, z_prime = normal_pairs(size, dim, rho, g)
        values.append(estimator(DenseScores(score(z, z_prime))))
    values = torch.stack(values)
    return values.mean().item(), values.std().item() / math.sqrt(count)


def bilinear(b):
    def score(z, z_prime):
        critic = Bilinear(latent_dim=z.shape[1]).double()
        critic.weight.data = b * torch.eye(z.shape[1], dtype=torch.float64)
        return critic(z, z_prime).detach()

    return score


def rbf(s):
    return lambda z, z_prime: RBF(bandwidth=s).double()(z, z_prime).detach()


def optimal(rho):
    """log Q(z'|z) / Q(z') of correlated normals, over all combinations."""

    def score(z, z_prime):
        scale = math.sqrt(1 - rho**2)
        away = (z_prime[None] - rho * z[:, None]) / scale
        return (-0.5 * away**2 + 0.5 * z_prime[None] ** 2 - math.log(scale)).sum(-1)

    return score


RHO, B, S = 0.6, 0.4, 1.3
RBF_FORM = -(1 - RHO) / S**2 - math.log(S / math.sqrt(S**2 + 1)) + 1 / (2 * (S**2 + 1))
CLOSED_FORMS = {
    "I by the optimal critic, leave-one-out": (optimal(RHO), LeaveOneOut(), 1, -0.5 * math.log(1 - RHO**2)),
    "I by the optimal critic, infonce": (optimal(RHO), KWay(), 1, -0.5 * math.log(1 - RHO**2)),
    "I by the optimal critic, dv": (optimal(RHO), DV(), 1, -0.5 * math.log(1 - RHO**2)),
    "bilinear, one dimension": (bilinear(B), LeaveOneOut(), 1, B * RHO - B**2 / 2),
    "bilinear, three dimensions": (bilinear(B), LeaveOneOut(), 3, 3 * (B * RHO - B**2 / 2)),
    "bilinear, energy": (bilinear(B), DV(), 1, B * RHO + 0.5 * math.log(1 - B**2)),
    "rbf, one dimension": (rbf(S), LeaveOneOut(), 1, RBF_FORM),
    "rbf, three dimensions": (rbf(S), LeaveOneOut(), 3, 3 * RBF_FORM),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_large_samples_agree_with_the_closed_form(name):
    score, estimator, dim, expected = CLOSED_FORMS[name]
    mean, error = batches(score, estimator, dim, RHO)
    bias = 2e-3 * dim  # Jensen's, of order 1 / batch
    assert abs(mean - expected) < 4 * error + bias, f"{mean:.5f} +- {error:.5f}, closed form {expected:.5f}"
    assert error < 0.01 * dim


def test_infonce_with_the_best_bilinear_f_stays_below_the_information():
    mean, error = batches(bilinear(RHO), LeaveOneOut(), 1, RHO)
    assert abs(mean - RHO**2 / 2) < 4 * error + 2e-3
    assert mean + 4 * error < -0.5 * math.log(1 - RHO**2)


def exact_log_q(z):
    return -0.5 * (z**2).sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


@pytest.mark.parametrize("covariance", ["correlation", "full"])
@pytest.mark.parametrize("r", [-0.3, 0.4, RHO])
def test_the_gaussian_prior_agrees_with_its_closed_form(r, covariance):
    """E log P(z, z') - log Q(z) - log Q(z'), a dimension: -1/2 log(1 - r^2) - (1 - r rho) / (1 - r^2) + 1."""
    prior = Gaussian(latent_dim=2, correlation=r, learn=True, covariance=covariance).double()
    z, z_prime = normal_pairs(200_000, 2, RHO, torch.Generator().manual_seed(0))
    rows = (prior.log_prob(z, z_prime) - exact_log_q(z) - exact_log_q(z_prime)).detach()
    expected = 2 * (-0.5 * math.log(1 - r**2) - (1 - r * RHO) / (1 - r**2) + 1)
    error = rows.std().item() / math.sqrt(len(rows))
    assert abs(rows.mean().item() - expected) < 4 * error and error < 0.01
    if r == RHO:
        assert expected == pytest.approx(-math.log(1 - RHO**2)), "at r = rho the ELBO is I"


def test_the_gaussian_prior_learns_the_correlation_of_its_data_and_its_elbo_is_the_information():
    """Through the classifier estimator: on normal data the entropies' ratio is 0 and the best r is rho."""
    prior = Gaussian(latent_dim=2, correlation=0.0, learn=True, covariance="correlation").double()
    estimator = Classifier(dims=[2, 2], hidden=[32], lr=0.02, steps=1, replay=0).double()
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
    g, values = torch.Generator().manual_seed(0), []
    torch.manual_seed(0)
    for _ in range(600):
        z, z_prime = normal_pairs(1000, 2, RHO, g)
        value = prior.elbo(estimator, Encoded((z, z_prime), (None, None)))
        optimizer.zero_grad()
        (-value).backward()
        optimizer.step()
        values.append(value.item())
    assert prior.correlation.tolist() == pytest.approx([RHO, RHO], abs=0.03)
    last = torch.tensor(values[-100:])
    error = last.std().item() / 10
    assert abs(last.mean().item() + math.log(1 - RHO**2)) < 4 * error + 0.01
