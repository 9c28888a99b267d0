"""Explicit priors: densities that are densities, and samples that come from them.

log P(z, z') integrates to one under a proposal that covers it, and matches the samples of the same prior: both by
one importance identity, E_P [g / P] = 1 for a density g within P's reach, and E_R [P / R] = 1.
"""

import math

import pytest
import torch

from ssvae_cli.estimators import InfoNCE
from ssvae_cli.estimators.entropies import Conditionals
from ssvae_cli.estimators.kernel_density import KDE
from ssvae_cli.estimators.regularisers import Hinges
from ssvae_cli.priors import VMF, Encoded, Gaussian, Laplace, LinearDynamics, Mixture, Normal, SharedLatent, Student
from ssvae_cli.priors.unstructured import UnstructuredLaplace, UnstructuredNormal, UnstructuredSphere
from ssvae_cli.scores import DenseScores

COUNT = 200_000


def moved(prior):
    """The prior in float64, its parameters away from where they start."""
    torch.manual_seed(3)
    for parameter in prior.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return prior.double()


def conditional(cls, space, **more):
    return lambda dim: cls(latent_dim=dim, scale=0.4, learn=True, space=space, **more)


PRIORS = {
    "gaussian": lambda dim: Gaussian(latent_dim=dim, correlation=0.7, learn=True, covariance="correlation"),
    "gaussian full": lambda dim: Gaussian(latent_dim=dim, correlation=0.5, learn=True, covariance="full"),
    "vmf": lambda dim: VMF(latent_dim=dim, concentration=3.0, learn=True),
    "vmf predictor": lambda dim: VMF(latent_dim=dim, concentration=3.0, learn=True, predictor=[8]),
    "normal": conditional(Normal, "euclidean"),
    "normal box": conditional(Normal, "box"),
    "laplace": conditional(Laplace, "euclidean"),
    "laplace box": conditional(Laplace, "box"),
    "student": conditional(Student, "euclidean", df=2.5),
    "student box": conditional(Student, "box", df=2.5),
    "shared_latent": lambda dim: SharedLatent(latent_dim=dim, scale=0.7, noise=0.4, learn=True),
    "mixture": lambda dim: Mixture(latent_dim=dim, components=3, spread=1.0),
    "linear_dynamics": lambda dim: LinearDynamics(latent_dim=dim, stationary=False, persistence=0.5),
    "linear_dynamics stationary": lambda dim: LinearDynamics(latent_dim=dim, stationary=True, persistence=0.5),
    "unstructured_normal": lambda dim: UnstructuredNormal(),
    "unstructured_laplace": lambda dim: UnstructuredLaplace(),
    "unstructured_sphere": lambda dim: UnstructuredSphere(),
}


def proposal(space, count, dim, g):
    """(points, log density): uniform on the sphere and the box, Student's t of 2 degrees and width 1.5 elsewhere."""
    if space.name != "euclidean":
        z = space.sample(torch.empty(count, dim, dtype=torch.float64), g)
        return z, space.log_prob(z)
    normal = torch.randn(2, count, dim, dtype=torch.float64, generator=g)
    chi = -2 * torch.log1p(-torch.rand(count, dim, dtype=torch.float64, generator=g))
    z = 1.5 * normal[0] / (0.5 * chi).sqrt()
    return z, (-1.5 * torch.log1p((z / 1.5) ** 2 / 2) - math.log(1.5 * 2 * math.sqrt(2))).sum(1)


@pytest.mark.parametrize("name", PRIORS)
@torch.no_grad()
def test_a_density_integrates_to_one(name):
    prior, g = moved(PRIORS[name](2)), torch.Generator().manual_seed(0)
    sides = [proposal(prior.space, COUNT, 2, g) for _ in range(prior.views)]
    weights = (prior.log_prob(*(z for z, _ in sides)) - sum(q for _, q in sides)).exp()
    error = weights.std().item() / math.sqrt(COUNT)
    assert error < 0.03
    assert abs(weights.mean().item() - 1) < 4 * error + 1e-9


@pytest.mark.parametrize("name", PRIORS)
@torch.no_grad()
def test_samples_come_from_the_density(name):
    """E_P h(z, z') over samples = the same by importance weights from a proposal, for functions that tell the
    sides, the dimensions and the tails apart."""
    prior, g = moved(PRIORS[name](2)), torch.Generator().manual_seed(1)
    drawn = [z.double() for z in prior.sample(COUNT, 2, g)]
    sides = [proposal(prior.space, COUNT, 2, g) for _ in range(prior.views)]
    points = [z for z, _ in sides]
    weights = (prior.log_prob(*points) - sum(q for _, q in sides)).exp()
    weights = weights / weights.mean()
    tests = {
        "first": lambda *z: torch.tanh(z[0][:, 0]),
        "last": lambda *z: torch.tanh(z[-1][:, 1]),
        "ties": lambda *z: torch.tanh(z[0][:, 0]) * torch.tanh(z[-1][:, 0]),
        "crossed": lambda *z: torch.tanh(z[0][:, 0]) * torch.tanh(z[-1][:, 1]),
        "near": lambda *z: torch.exp(-((z[0] - z[-1]) ** 2).sum(1) / 0.1),
        "tail": lambda *z: (z[-1].abs().amax(1) > 1.5).double(),
    }
    for label, h in tests.items():
        by_samples, by_weights = h(*drawn), weights * (h(*points) - h(*drawn).mean())
        error = math.hypot(by_samples.std().item(), by_weights.std().item()) / math.sqrt(COUNT)
        assert abs(by_weights.mean().item()) < 4.5 * error + 1e-9, label


PAIRS = [name for name in PRIORS if not name.startswith("unstructured")]


@pytest.mark.parametrize("name", PAIRS)
def test_marginal_and_conditional_multiply_to_the_joint_in_both_directions(name):
    prior = moved(PRIORS[name](2))
    z, z_prime = (side.double() for side in prior.sample(50, 2, torch.Generator().manual_seed(0)))
    joint = prior.log_prob(z, z_prime)
    assert torch.allclose(prior.log_marginal(z) + prior.log_conditional(z, z_prime), joint, atol=1e-9)
    assert torch.allclose(prior.log_given((z, z_prime), 1).diagonal(), joint - prior.log_marginal(z), atol=1e-9)
    if (of_z_prime := prior.log_marginal(z_prime, 1)) is not None:
        assert torch.allclose(prior.log_given((z, z_prime), 0).diagonal(), joint - of_z_prime, atol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_what_is_given_the_other_side_is_a_density(name):
    """Over z' for a fixed z, and over z for a fixed z': it integrates to one under a proposal that covers it."""
    prior, g = moved(PRIORS[name](2)), torch.Generator().manual_seed(0)
    fixed = [side.double() for side in prior.sample(3, 2, g)]
    points, log_r = proposal(prior.space, COUNT, 2, g)
    for side in (0, 1):
        latents = (points, fixed[1]) if side == 0 else (fixed[0], points)
        weights = (prior.log_given(latents, side) - log_r[:, None]).exp().detach()
        error = weights.std(0) / math.sqrt(COUNT)
        assert ((weights.mean(0) - 1).abs() < 4 * error + 1e-9).all() and (error < 0.05).all()


@pytest.mark.parametrize("name", PAIRS)
def test_a_table_of_pairs_is_that_of_its_entries_and_its_mixture_has_the_own_part_and_the_others(name, monkeypatch):
    prior = moved(PRIORS[name](3))
    z, z_prime = (side.double() for side in prior.sample(7, 3, torch.Generator().manual_seed(0)))
    for side in (0, 1):
        table = prior.log_given((z, z_prime), side)
        rows = [torch.cat([prior.log_given((z[[i if side == 0 else j]], z_prime[[j if side == 0 else i]]), side)
                           for j in range(7)], 1) for i in range(7)]  # fmt: skip
        assert torch.allclose(table, torch.cat(rows), atol=1e-9)
        whole = torch.stack(prior.log_mixture((z, z_prime), side))
        others = (table.exp().sum(1) - table.diagonal().exp()) / 6
        assert torch.allclose(whole, torch.stack([table.diagonal(), others.log()]), atol=1e-9)
        gradient = torch.autograd.grad(whole.sum(), list(prior.parameters()), allow_unused=True)
        of_both = torch.stack(prior.log_mixtures((z, z_prime))(side))
        monkeypatch.setattr("ssvae_cli.priors.explicit.AT_ONCE", 42)  # in parts of two rows
        in_parts = torch.stack(prior.log_mixture((z, z_prime), side))
        for again in (of_both, in_parts):
            assert torch.allclose(again, whole, atol=1e-12)
            for a, b in zip(gradient, torch.autograd.grad(again.sum(), list(prior.parameters()), allow_unused=True)):
                assert (a is None and b is None) or torch.allclose(a, b, atol=1e-9)
        monkeypatch.undo()


def test_a_table_of_small_steps_far_from_zero_is_as_exact_as_the_density_of_a_pair():
    z = 10 + torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    z_prime = z + 1e-3 * torch.randn(30, 8, generator=torch.Generator().manual_seed(1))
    normal = Normal(latent_dim=8, scale=1e-3, learn=False, space="euclidean")
    gaussian = Gaussian(latent_dim=8, correlation=1 - 1e-5, learn=False, covariance="correlation")
    for prior in (normal, gaussian):
        of_pairs = prior.double().log_conditional(z.double(), z_prime.double())
        table = prior.float().log_given((z, z_prime), 1)
        assert (table.diagonal() - of_pairs).abs().max() < 0.02


def test_what_is_far_from_the_cluster_of_its_pair_has_a_density_and_a_gradient_in_float32():
    prior = Mixture(latent_dim=2, components=2, spread=1.0)
    for means in prior.means:
        means.data = torch.tensor([[0.0, 0.0], [30.0, 0.0]])
    z, z_prime = torch.zeros(1, 2, requires_grad=True), torch.tensor([[30.0, 0.0]])
    log_p = prior.log_given((z, z_prime), 0)
    # Either z is far from the cluster of both, or z' is.
    assert log_p.item() == pytest.approx(-450 - math.log(2 * math.pi) + math.log(2), abs=0.01)
    assert torch.allclose(torch.autograd.grad(log_p, z)[0], torch.tensor([[15.0, 0.0]]), atol=1e-3)


@pytest.mark.parametrize(("candidates", "least"), [(None, 8), (3, 8), (1280, 1280), ("auto", 40)])
def test_the_elbo_with_conditionals_is_at_most_the_log_of_the_candidates(candidates, least):
    """Of pairs that no other pair resembles it is that logarithm, and the value is put together as written."""
    z = 1e4 * torch.arange(8.0, dtype=torch.float64)[:, None].expand(8, 3)
    prior = moved(conditional(Laplace, "euclidean", marginal="encoder")(3))
    value = prior.elbo(Conditionals(candidates=candidates), Encoded((z, z + 0.01), (None, None)))
    assert value.item() == pytest.approx(math.log(least), abs=1e-6)


def test_automatic_candidates_are_the_batch_where_little_is_known_of_a_pair():
    """Up to I of two nats below log B the estimate is that of `null`; beyond, it is above it."""
    for correlation, alike in ((0.5, True), (0.999, False)):
        prior = Gaussian(latent_dim=2, correlation=correlation, learn=False, covariance="correlation")
        latents = prior.sample(64, 2, torch.Generator().manual_seed(0))
        auto, null = (prior.elbo(Conditionals(candidates=k), Encoded(latents, (None, None))) for k in ("auto", None))
        assert (auto == null) if alike else (auto > null + 0.3)


@pytest.mark.parametrize("name", PAIRS)
def test_samples_of_the_conditional_come_from_it(name):
    prior, g = moved(PRIORS[name](2)), torch.Generator().manual_seed(1)
    z = prior.sample(1, 2, g)[0].double()
    drawn = prior.sample_conditional(z.expand(COUNT, -1).contiguous(), g)
    points, log_r = proposal(prior.space, COUNT, 2, g)
    weights = (prior.log_conditional(z, points) - log_r).exp().detach()
    for h in (torch.tanh, lambda x: torch.tanh(x) ** 2, lambda x: torch.tanh(x[:, :1] * x[:, 1:])):
        values, weighed = h(drawn), weights[:, None] * (h(points) - h(drawn).mean(0))
        error = (values.var(0) + weighed.var(0)).sqrt() / math.sqrt(COUNT)
        assert (weighed.mean(0).abs() < 4.5 * error + 1e-9).all()


@pytest.mark.parametrize("name", PAIRS)
def test_with_the_encoders_marginal_the_elbo_is_k_way_infonce_with_the_conditional_for_critic(name):
    """E log P(z'|z) + H(z'), H by the mixture of conditionals: InfoNCE, the positive among its candidates."""
    prior = moved(PRIORS[name](2))
    prior.marginal = "encoder"
    z, z_prime = (side.double() for side in prior.sample(64, 2, torch.Generator().manual_seed(0)))
    scores = DenseScores(prior.log_given((z, z_prime), 1))  # every z' with all z for candidates
    elbo = prior.elbo(Conditionals(candidates=None), Encoded((z, z_prime), (None, None)))
    most = prior.log_conditional(z, z_prime).mean() + prior.space.largest_entropy(z_prime)
    assert abs(elbo.item() - min(InfoNCE()(scores).item(), most.item())) < 1e-9 and elbo < math.log(64)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_a_marginal_of_a_number_trains_by_that_share_of_the_own_elbo_and_reads_the_own_one(name, joint):
    prior, entropy = moved(PRIORS[name](2)), KDE()
    z = [side.double().requires_grad_() for side in prior.sample(32, 2, torch.Generator().manual_seed(0))]

    def read(marginal):
        prior.marginal = marginal
        value = prior.elbo(entropy, Encoded(tuple(z), (None, None)), joint=joint)
        return value, torch.autograd.grad(value, [*z, *prior.parameters()], materialize_grads=True)

    (own, by_own), (_, by_encoder), (value, by_share) = read("own"), read("encoder"), read(0.3)
    assert value.item() == own.item()
    for ours, one, other in zip(by_share, by_own, by_encoder):
        assert torch.allclose(ours, 0.3 * one + 0.7 * other, atol=1e-9)
    assert any((one - other).abs().max() > 1e-3 for one, other in zip(by_own, by_encoder))


def test_a_marginal_of_a_number_leaves_a_regulariser_whole():
    prior = moved(PRIORS["gaussian"](2))
    z = [side.double().requires_grad_() for side in prior.sample(32, 2, torch.Generator().manual_seed(0))]

    def slope(marginal):
        prior.marginal = marginal
        value = prior.elbo(Hinges(std=1.0, variance=25.0, covariance=1.0), Encoded(tuple(z), (None, None)))
        return torch.autograd.grad(value, z)

    for ours, one, other in zip(slope(0.3), slope("own"), slope("encoder")):
        assert torch.allclose(ours, 0.3 * one + 0.7 * other, atol=1e-9)
