"""Laws of known latents: samples against the priors of the same name and against scipy, I against other integrals.

1. Each explicit pair prior has a law of its name: pairs of the one cannot be told from pairs of the other.
2. I(z; z') is what an independent estimate gives, and None where it is infinite or unknown.
3. Truncation, content, style, labels and groups are as asked.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp

from ssvae_cli.datasets.laws import univariate
from ssvae_cli.datasets.laws.gaussian import Gaussian
from ssvae_cli.datasets.laws.information import entropy_of_sum
from ssvae_cli.datasets.laws.level import Level
from ssvae_cli.datasets.laws.linear_dynamics import LinearDynamics
from ssvae_cli.datasets.laws.lorenz import Lorenz, velocity
from ssvae_cli.datasets.laws.mixture import Mixture
from ssvae_cli.datasets.laws.noise import WithNoise
from ssvae_cli.datasets.laws.shared_latent import SharedLatent
from ssvae_cli.datasets.laws.steps import Laplace, Normal, Student
from ssvae_cli.datasets.laws.switching_dynamics import SwitchingDynamics
from ssvae_cli.datasets.laws.vmf import VMF
from ssvae_cli.priors import (
    conditional,
    gaussian,
    linear_dynamics,
    mixture,
    shared_latent,
    switching_dynamics,
    vmf,
)

DIM = 3
PLAIN = {"dim": DIM, "df": 3.0, "content": 0, "dependence": 0.0, "seed": 0}
SCIPY = {"normal": stats.norm(), "laplace": stats.laplace(), "student": stats.t(3.0), "uniform": stats.uniform(-1, 2)}


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def pairs(law, count=20_000):
    z, shared, _ = law.sample(count, generator())
    return z, law.partner(z, shared, generator(2))


def clusters(dim):
    law = Mixture(dim=dim, components=4, spread=2.0, correlation=0.0, seed=0)
    prior = mixture.Mixture(latent_dim=dim, components=4, spread=2.0)
    for means in prior.means:
        means.data = law.means.clone()
    return law, prior


def dynamics(dim):
    law = LinearDynamics(dim=dim, persistence=[0.9, 0.5][:dim], rotation=0.4)
    prior = linear_dynamics.LinearDynamics(latent_dim=dim, stationary=False, persistence=0.5)
    prior.matrix.data = torch.tensor(law.truth["transition"])
    prior.white_step.data = torch.linalg.inv(law.root)
    return law, prior


def switching(dim):
    law = SwitchingDynamics(dim=dim, components=3, persistence=0.8, seed=0)
    prior = switching_dynamics.SwitchingDynamics(latent_dim=dim, components=3, persistence=0.8)
    prior.matrix.data = law.transition.clone()
    return law, prior


STEPS = {"laplace": (Laplace, conditional.Laplace, {}), "student": (Student, conditional.Student, {"df": 3.0})}
SAME = ["vmf", "gaussian", "laplace", "laplace box", "student", "student box", "shared_latent", "mixture"]
SAME += ["linear_dynamics", "switching_dynamics"]


def same(name, dim):
    """A law and the prior of its name, with the same parameters."""
    known = {"latent_dim": dim, "learn": False}
    if name == "mixture":
        return clusters(dim)
    if name == "linear_dynamics":
        return dynamics(dim)
    if name == "switching_dynamics":
        return switching(dim)
    if name == "vmf":
        return VMF(dim=dim, concentration=7.0), vmf.VMF(**known, concentration=7.0)
    if name == "gaussian":
        prior = gaussian.Gaussian(**known, correlation=0.7, covariance="correlation")
        return Gaussian(dim=dim, correlation=0.7), prior
    if name == "shared_latent":
        law = SharedLatent(dim=dim, source="laplace", scale=0.7, noise=0.4, df=3.0)
        return law, shared_latent.SharedLatent(**known, scale=0.7, noise=0.4)
    law, prior, more = STEPS[name.split()[0]]
    source, space = ("box", "box") if name.endswith("box") else ("normal", "euclidean")
    return law(**(PLAIN | {"dim": dim}), source=source, scale=0.3), prior(**known, **more, scale=0.3, space=space)


@pytest.mark.parametrize("name", SAME)
def test_pairs_of_a_law_are_those_of_the_prior_of_its_name(name):
    torch.manual_seed(0)
    law, prior = same(name, DIM)
    ours, theirs = pairs(law), prior.sample(20_000, DIM)
    for read in (
        lambda z, w: z[:, 0],
        lambda z, w: w[:, 1],
        lambda z, w: w[:, 0] - z[:, 0],
        lambda z, w: (z * w).sum(1),
    ):
        first, second = (read(*sides).detach().numpy() for sides in (ours, theirs))
        assert stats.ks_2samp(first, second).pvalue > 1e-3
    # The prior's density knows the dependence: pairs of the law score as its own pairs do.
    score, own = (prior.log_prob(*sides).detach().double() for sides in (ours, theirs))
    error = math.sqrt((score.var() + own.var()).item() / len(score))
    assert abs((score.mean() - own.mean()).item()) < 4 * error


@pytest.mark.parametrize(
    "source, noise, scale",
    [
        ("normal", "laplace", 0.3),
        ("laplace", "normal", 0.05),
        ("student", "student", 0.5),
        ("uniform", "normal", 0.1),
        ("normal", "student", 2.0),
    ],
)
def test_the_entropy_of_a_sum_is_a_mean_over_samples(source, noise, scale):
    rng, places = np.random.default_rng(0), (np.arange(3000) + 0.5) / 3000
    x, e = (SCIPY[name].rvs(size=1000, random_state=rng) for name in (source, noise))
    z = SCIPY[source].ppf(places) if scale > 0.2 else None
    total = x + scale * e
    if z is None:  # a narrow step: average over the step's quantiles
        density = [SCIPY[source].pdf(t - scale * SCIPY[noise].ppf(places)).mean() for t in total]
    else:
        density = [SCIPY[noise].pdf((t - z) / scale).mean() / scale for t in total]
    surprise = -np.log(density)
    known = entropy_of_sum(univariate.univariate(source, 3.0), 1.0, univariate.univariate(noise, 3.0), scale)
    assert abs(known - surprise.mean()) < 4 * surprise.std() / math.sqrt(1000)


def test_students_table_is_scipys_distribution():
    law, x = univariate.Student(3.0), torch.linspace(-30, 30, 201, dtype=torch.float64)
    assert np.allclose(law.cdf(x), stats.t(3.0).cdf(x), atol=1e-6)
    assert torch.allclose(law.quantile(law.cdf(x)), x, rtol=1e-6, atol=1e-9)
    assert law.entropy == pytest.approx(stats.t(3.0).entropy())


CLOSED = {
    "normal steps": (Normal(**PLAIN, source="normal", scale=0.5), 1.5 * math.log(1 + 4)),
    "a scale for each": (
        Normal(**PLAIN, source="normal", scale=[0.5, 1.0, 2.0]),
        0.5 * sum(math.log1p(s**-2) for s in (0.5, 1, 2)),
    ),
    "correlations": (Gaussian(dim=3, correlation=[0.9, 0.5]), -0.5 * sum(math.log(1 - r**2) for r in (0.9, 0.7, 0.5))),
    "s normal": (
        SharedLatent(dim=2, source="normal", scale=1.0, noise=0.5, df=3.0),
        -math.log(1 - 0.8**2),  # of correlation 1 / (1 + 0.25)
    ),
    "little noise": (LinearDynamics(dim=3, persistence=1 - 1e-7, rotation=0.3), -1.5 * math.log1p(-((1 - 1e-7) ** 2))),
    "much noise": (Student(**PLAIN, source="normal", scale=1e5), 0.0),
    "a level": (Level(dim=1, share=0.5, correlation=-0.6), -0.5 * math.log(1 - 0.2**2)),  # as of Tschannen et al. 2020
    "with noise": (WithNoise(Gaussian(dim=2, correlation=0.8), 3), -math.log(1 - 0.8**2)),
    # On S^2 log C = log(kappa / (4 pi sinh kappa)), and the mean cosine is coth kappa - 1 / kappa.
    "vmf": (VMF(dim=3, concentration=4.0), math.log(4 / math.sinh(4)) + 4 / math.tanh(4) - 1),
}


@pytest.mark.parametrize("name", CLOSED)
def test_i_is_the_closed_form(name):
    law, expected = CLOSED[name]
    assert law.information() == (pytest.approx(expected, abs=1e-6), 0.0)


@pytest.mark.parametrize("name", SAME[1:])
def test_i_of_one_dimension_is_the_double_integral_of_the_priors_density(name):
    torch.manual_seed(0)
    law, prior = same(name, 1)
    box = "box" in name
    at = (torch.arange(600) + 0.5) / 600 * (1 if box else 30) - (0 if box else 15)
    with torch.no_grad():
        z, z_prime = at.repeat_interleave(600)[:, None], at.repeat(600)[:, None]
        table = prior.log_prob(z, z_prime).double().exp().view(600, 600)
    joint = table / table.sum()
    ratio = (joint / (joint.sum(1, keepdim=True) * joint.sum(0))).log()
    expected = torch.where(joint > 1e-300, joint * ratio, 0.0).sum().item()
    assert law.information()[0] == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize(
    "law", [CLOSED["normal steps"][0], Laplace(**(PLAIN | {"content": 1}), source="normal", scale=0.5)]
)
def test_content_makes_i_infinite_and_unknown(law):
    assert (law.information() is None) == (law.content == 1)


def test_content_is_kept_and_style_depends_on_it_as_asked():
    law = Normal(**(PLAIN | {"dim": 4, "content": 2, "dependence": 0.6}), source="normal", scale=0.3)
    z, moved = pairs(law, 50_000)
    assert torch.equal(moved[:, :2], z[:, :2]) and (moved[:, 2:] != z[:, 2:]).all()
    correlation = torch.corrcoef(z.T)
    assert torch.allclose(correlation[2:, :2].norm(dim=1), torch.full((2,), 0.6), atol=0.02)
    assert torch.allclose(z.std(0), torch.ones(4), atol=0.02)
    assert [factor.group for factor in law.factors()] == ["content", "content", "style", "style"]


def test_style_that_changes_now_and_then_stays_as_it_is_else():
    law = Normal(**(PLAIN | {"content": 1}), source="normal", scale=0.5, change=0.3)
    z, moved = pairs(law)
    share = (moved != z).double().mean(0)
    assert share[0] == 0 and share[1:].tolist() == pytest.approx([0.3, 0.3], abs=0.015)
    assert (moved - z)[:, 1][moved[:, 1] != z[:, 1]].std().item() == pytest.approx(0.5, abs=0.02)
    assert Normal(**PLAIN, source="normal", scale=0.5, change=0.3).information() is None, "z' is z with an atom"


def test_lorenz_flows_as_the_differential_equation_does():
    law = Lorenz(dim=6, interval=0.5, noise=0.1)
    z = law.sample(400, generator()).z
    start = z[0].view(2, 3) * law.std + law.mean
    for system, end in zip(start.double(), law.flow(z[:1])[0].view(2, 3) * law.std + law.mean):
        slope = lambda _, s: velocity(torch.from_numpy(s)).numpy()
        expected = solve_ivp(slope, (0, 0.5), system.numpy(), rtol=1e-9, atol=1e-9).y[:, -1]
        assert np.allclose(end, expected, atol=0.02)
    # Liouville: the flow shrinks every volume by the same factor.
    one = Lorenz(dim=3, interval=0.1, noise=0.1).double()
    jacobian = torch.autograd.functional.jacobian(lambda z: one.flow(z[None])[0], z[0, :3].double())
    assert torch.linalg.det(jacobian).item() == pytest.approx(math.exp(-(10 + 1 + 8 / 3) * 0.1), rel=1e-3)
    assert torch.allclose(z.mean(0), torch.zeros(6), atol=0.2) and torch.allclose(z.std(0), torch.ones(6), atol=0.15)
    fresh = law.partner(z, None, generator(2)) - law.flow(z)
    assert fresh.std().item() == pytest.approx(0.1, abs=0.005)


def test_noise_is_drawn_anew_and_the_law_keeps_its_coordinates():
    law = WithNoise(Gaussian(dim=1, correlation=0.9), 2)
    z, moved = pairs(law)
    cross = torch.corrcoef(torch.cat([z, moved], 1).T)
    expected = torch.eye(6)
    expected[0, 3] = expected[3, 0] = 0.9
    assert torch.allclose(cross, expected, atol=0.03)
    assert [(f.name, f.group) for f in law.factors()] == [("z0", "signal"), ("noise0", "noise"), ("noise1", "noise")]
    assert law.truth == {"correlation": [0.9]} and law.markov


def test_rotations_may_differ_from_pair_to_pair():
    law = LinearDynamics(dim=5, persistence=0.9, rotation=[0.3, 1.5])
    angles = np.angle(np.linalg.eigvals(law.truth["transition"]))
    assert sorted(np.abs(angles)) == pytest.approx([0, 0.3, 0.3, 1.5, 1.5])


@pytest.mark.parametrize("kind", [Normal, Laplace, Student])
def test_steps_on_the_sphere_stay_on_it_and_near(kind):
    z, moved = pairs(kind(**(PLAIN | {"dim": 4}), source="sphere", scale=0.1), 500)
    assert torch.allclose(moved.norm(dim=1), torch.ones(500), atol=1e-5) and (moved * z).sum(1).mean() > 0.85


@pytest.mark.parametrize("source", ["normal", "laplace", "student", "uniform"])
def test_a_source_is_scipys_law(source):
    z = Laplace(**PLAIN, source=source, scale=0.3).sample(7000, generator()).z.flatten().double().numpy()
    assert stats.kstest(z, SCIPY[source].cdf).pvalue > 1e-3


def test_the_label_of_a_cluster_is_what_both_sides_share():
    law = Mixture(dim=DIM, components=4, spread=5.0, correlation=0.9, seed=0)
    z, shared, label = law.sample(20_000, generator())
    moved = law.partner(z, shared, generator(2))
    assert torch.equal(shared, label) and label.unique().tolist() == [0, 1, 2, 3]
    within = [torch.corrcoef(torch.stack([z[label == k, 0], moved[label == k, 0]]))[0, 1] for k in range(4)]
    assert torch.allclose(torch.stack(within), torch.tensor(0.9), atol=0.02)
    assert law.information()[1] < 0.01


def test_a_dimension_of_no_correlation_is_noise_where_there_are_others():
    groups = lambda *correlation: [f.group for f in Gaussian(dim=2, correlation=list(correlation)).factors()]
    assert groups(0.9, 0.0) == ["signal", "noise"] and groups(0.9, 0.1) == [None, None] == groups(0.0, 0.0)
