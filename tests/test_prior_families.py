"""What is known of single explicit priors: closed forms, integrals and mpmath, and the parameters that they refuse."""

import math

import mpmath
import numpy as np
import pytest
import torch

from ssvae_cli.distributions.laplace import _erfcx, log_convolved
from ssvae_cli.distributions.spaces import log_area
from ssvae_cli.distributions.von_mises_fisher import log_normaliser, mean_cosine, sample
from ssvae_cli.errors import UserError
from ssvae_cli.priors import VMF, Gaussian, Laplace, LinearDynamics, Mixture, SharedLatent, Student
from test_priors import COUNT, moved


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ratio", [0.1, 6.0, 10.0, 40.0])
def test_the_shared_latents_conditional_has_its_samples_for_any_ratio_of_noise_to_scale(ratio, dtype):
    """In units of the noise, z at 0 and in the tail of s: their mean and variance are integrals over the density."""
    prior = SharedLatent(latent_dim=1, scale=1 / ratio, noise=1.0, learn=False).to(dtype)
    x = torch.linspace(-60, 60, 40_001, dtype=torch.float64)[:, None]
    for at in (0.0, 4.0):
        z = torch.tensor([[at]], dtype=dtype)
        drawn = prior.sample_conditional(z.expand(20_000, 1), torch.Generator().manual_seed(0)).double()
        density = SharedLatent(latent_dim=1, scale=1 / ratio, noise=1.0, learn=False).double()
        weights = density.log_conditional(z.double(), x).exp() * (x[1] - x[0])
        mean = (weights @ x).item()
        variance = (weights @ (x - mean).square()).item()
        assert drawn.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / 20_000))
        assert drawn.var().item() == pytest.approx(variance, rel=0.06)


def test_the_shared_latents_density_and_gradient_are_mpmaths_for_any_ratio_of_noise_to_scale():
    mpmath.mp.dps = 50

    def exact(x, b, s):
        x, b, s = mpmath.mpf(x), mpmath.mpf(b), mpmath.mpf(s)
        side = lambda u: mpmath.exp(s**2 / (2 * b**2) - u / b) * mpmath.ncdf(u / s - s / b)
        return mpmath.log((side(x) + side(-x)) / (2 * b))

    for ratio in (0.01, 0.3, 1.0, 9.0, 11.0, 40.0, 1000.0):
        for at in (0.0, 0.5, 3.0, -20.0):
            x, b, s = (torch.tensor(v, requires_grad=True) for v in (at * max(1.0, ratio) * 0.1, 0.1, 0.1 * ratio))
            value = log_convolved(x, b, s)
            value.backward()
            given = [v.item() for v in (x, b, s)]
            assert abs(value.item() - float(exact(*given))) < 1e-5 * (1 + abs(value.item())), (ratio, at)
            for i, leaf in enumerate((x, b, s)):
                of_one = lambda v, i=i, given=given: exact(*given[:i], v, *given[i + 1 :])
                slope = float(mpmath.diff(of_one, given[i]))
                scale = abs(slope) + 1 / given[2]
                assert abs(leaf.grad.item() - slope) < 1e-3 * scale, (ratio, at, i, leaf.grad.item(), slope)


def test_the_shared_latents_erfcx_is_that_of_torch_to_its_last_digits_from_0_to_1e12():
    u = torch.cat([torch.linspace(0, 10, 2001, dtype=torch.float64), torch.logspace(1, 12, 500, dtype=torch.float64)])
    torch.testing.assert_close(_erfcx(u), torch.special.erfcx(u), rtol=2e-14, atol=0)


def test_the_normaliser_of_von_mises_fisher_is_mpmaths_to_1e_8_with_its_gradient():
    mpmath.mp.dps = 40
    for dim in (2, 3, 4, 16, 64, 129, 512, 2048):
        for kappa in (1e-3, 0.1, 1.0, 63.7, 1e3, 1e4):
            k, order = mpmath.mpf(kappa), mpmath.mpf(dim) / 2 - 1
            bessel = mpmath.besseli(order, k)
            exact = order * mpmath.log(k) - mpmath.mpf(dim) / 2 * mpmath.log(2 * mpmath.pi) - mpmath.log(bessel)
            slope = -mpmath.besseli(order + 1, k) / bessel
            at = torch.tensor(kappa, dtype=torch.float64, requires_grad=True)
            log_c = log_normaliser(at, dim)
            log_c.backward()
            assert abs(log_c.item() - float(exact)) < 1e-8, (dim, kappa)
            assert abs(at.grad.item() - float(slope)) < 1e-8, (dim, kappa)


@pytest.mark.parametrize("dim", [2, 3, 64])
def test_von_mises_fisher_samples_have_the_mean_cosine(dim):
    g = torch.Generator().manual_seed(0)
    pole = torch.eye(1, dim, dtype=torch.float64).expand(20_000, dim)
    for kappa in (0.1, 5.0, 300.0):
        k = torch.tensor(kappa, dtype=torch.float64)
        z = sample(pole, k, g)
        assert torch.allclose(z.norm(dim=1), torch.ones(len(z)).double())
        cosine = z[:, 0]
        assert abs(cosine.mean() - mean_cosine(k, dim)) < 4 * cosine.std() / math.sqrt(len(z))
        assert z[:, 1:].mean(0).abs().max() < 5 * z[:, 1:].std() / math.sqrt(len(z)) + 1e-12


def test_vmf_is_uniform_in_each_of_its_sides():
    """By symmetry z' is uniform too: its log density averages over z to -log area."""
    prior = VMF(latent_dim=3, concentration=8.0, learn=False)
    z = prior.space.sample(torch.empty(COUNT, 3))
    fixed = torch.tensor([[0.0, 0.6, 0.8]]).expand(COUNT, 3)
    ratio = (prior.log_prob(z, fixed) + 2 * log_area(3)).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(COUNT)


def test_the_gaussian_prior_is_the_bivariate_normal():
    prior = Gaussian(latent_dim=2, correlation=0.6, learn=False, covariance="correlation")
    z, z_prime = torch.randn(2, 50, 2)
    covariance = torch.kron(torch.tensor([[1.0, 0.6], [0.6, 1.0]]), torch.eye(2))
    plain = torch.distributions.MultivariateNormal(torch.zeros(4), covariance)
    assert torch.allclose(prior.log_prob(z, z_prime), plain.log_prob(torch.cat([z, z_prime], 1)), atol=1e-4)
    full = Gaussian(latent_dim=2, correlation=0.6, learn=True, covariance="full")
    assert torch.allclose(full.log_prob(z, z_prime), prior.log_prob(z, z_prime), atol=1e-4)


@pytest.mark.parametrize("views", [2, 3])
def test_the_gaussian_prior_stays_finite_where_a_learned_correlation_saturates(views):
    prior = Gaussian(latent_dim=2, correlation=0.9, learn=True, covariance="correlation", views=views)
    for raw in (60.0, -60.0):
        prior.raw.data.fill_(raw)
        z = torch.randn(5, 2)
        value = prior.log_prob(*[z] * views).sum()
        assert value.isfinite() and torch.autograd.grad(value, prior.raw)[0].isfinite().all()


def test_a_mixture_is_the_sum_of_its_components():
    prior = moved(Mixture(latent_dim=2, components=3, spread=1.0))
    z, z_prime = torch.randn(2, 5, 2, dtype=torch.float64)
    weights = prior.logits.softmax(0)
    total = 0
    for k in range(3):
        sides = [
            torch.distributions.Normal(m[k], s[k].exp()).log_prob(x).sum(1).exp()
            for m, s, x in zip(prior.means, prior.log_stds, (z, z_prime))
        ]
        total = total + weights[k] * sides[0] * sides[1]
    assert torch.allclose(prior.log_prob(z, z_prime), total.log())


def test_stationary_dynamics_keep_the_law_of_z_and_the_spectral_radius_below_one():
    prior = moved(LinearDynamics(latent_dim=4, stationary=True, persistence=0.9))
    a, b, s = prior.parameters_of_the_step()
    root = torch.linalg.inv(prior.white.tril())
    covariance = root @ root.T
    assert torch.allclose(a @ covariance @ a.T + s, covariance, atol=1e-9)
    assert torch.allclose(a @ prior.mean + b, prior.mean)
    assert torch.linalg.eigvals(a).abs().max() < 1
    z, z_prime = torch.randn(2, 6, 4, dtype=torch.float64)
    first = torch.distributions.MultivariateNormal(prior.mean, covariance).log_prob(z)
    second = torch.distributions.MultivariateNormal(z @ a.T + b, s).log_prob(z_prime)
    assert torch.allclose(prior.log_prob(z, z_prime), first + second)


def test_a_shared_latent_is_the_integral_over_it():
    prior = SharedLatent(latent_dim=1, scale=0.7, noise=0.3, learn=False).double()
    for z, z_prime in ((0.0, 0.1), (2.0, 1.5), (-4.0, -3.0), (1.0, -1.0)):
        s = np.linspace(-30, 30, 600_001)
        log_p = -np.abs(s) / 0.7 - math.log(1.4)
        for x in (z, z_prime):
            log_p = log_p - 0.5 * ((x - s) / 0.3) ** 2 - math.log(0.3 * math.sqrt(2 * math.pi))
        integral = math.log(np.trapezoid(np.exp(log_p), s))
        got = prior.log_prob(torch.tensor([[z]]).double(), torch.tensor([[z_prime]]).double()).item()
        assert got == pytest.approx(integral, abs=1e-6)


@pytest.mark.parametrize("df", [0.5, 1.0, 3.0, 100.0, 1e6])
def test_the_walls_of_the_box_cut_students_t_exactly(df):
    from scipy.stats import t

    prior = Student(df=df, latent_dim=1, scale=0.2, learn=False, space="box")
    below, above = torch.tensor([0.0, 0.1, 3.0, 50.0]).double(), torch.tensor([5.0, 0.2, 3.0, 0.0]).double()
    exact = [math.log(t.cdf(b, df) - t.cdf(-a, df)) for a, b in zip(below.tolist(), above.tolist())]
    assert torch.allclose(prior.log_mass(below, above), torch.tensor(exact).double(), atol=1e-9)
    assert torch.allclose(prior.log_mass(below.float(), above.float()), torch.tensor(exact), atol=1e-4)


@pytest.mark.parametrize(
    "make, words",
    {
        "r": (lambda: Gaussian(latent_dim=2, correlation=1.0, learn=True, covariance="full"), "between -1 and 1"),
        "scale": (lambda: Laplace(latent_dim=2, scale=0.0, learn=True, space="box"), "above 0"),
        "degrees": (lambda: Student(latent_dim=2, df=0.0, scale=1.0, learn=True, space="box"), "df must be above 0"),
        "kappa": (lambda: VMF(latent_dim=2, concentration=-1.0, learn=True), "above 0"),
        "noise": (lambda: SharedLatent(latent_dim=2, scale=1.0, noise=0.0, learn=True), "noise must be above 0"),
        "components": (lambda: Mixture(latent_dim=2, components=0, spread=1.0), "at least 1"),
        "persistence": (lambda: LinearDynamics(latent_dim=2, stationary=True, persistence=1.0), "[0, 1)"),
    }.values(),
)
def test_parameters_out_of_range_are_refused(make, words):
    with pytest.raises(UserError) as error:
        make()
    assert words in str(error.value)
