"""Standardising gives the reference's moments, its Jacobian is the map's, and samples have their stated densities."""

import math

import pytest
import torch

from ssvae_cli.distributions import gamma
from ssvae_cli.distributions.covariance import digamma, logdet_bias
from ssvae_cli.distributions.spaces import SPACES, log_area
from ssvae_cli.encoders.posteriors import PowerSpherical
from test_entropies import EUCLIDEAN, SKEW, SPHERE, normal


def test_the_euclidean_standardiser_gives_mean_zero_and_covariance_one():
    z = normal(500)
    white, log_jacobian = EUCLIDEAN.standardiser(z)(z)
    assert torch.allclose(white.mean(0), torch.zeros(3).double(), atol=1e-9)
    assert torch.allclose(torch.cov(white.T), torch.eye(3).double(), atol=1e-4)
    assert torch.allclose(-log_jacobian, 0.5 * torch.logdet(torch.cov(z.T)).expand(500), atol=1e-4)


def test_the_spherical_standardiser_makes_an_angular_gaussian_uniform_and_knows_its_density():
    g = torch.Generator().manual_seed(0)
    z = torch.nn.functional.normalize(torch.randn(200_000, 3, dtype=torch.float64, generator=g) @ SKEW.T)
    second = SKEW @ SKEW.T  # the density is |second|^-1/2 (z^T second^-1 z)^(-3/2) / area

    def log_density(z):
        return -0.5 * torch.logdet(second) - 1.5 * (z @ torch.linalg.inv(second) * z).sum(1).log() - log_area(3)

    factor = torch.linalg.cholesky(second)
    u = torch.nn.functional.normalize(torch.linalg.solve_triangular(factor, z.T, upper=False).T)
    assert torch.allclose(u.T @ u / len(u), torch.eye(3).double() / 3, atol=5e-3)
    # the Jacobian of the map made from any samples integrates to the area
    uniform = SPHERE.sample(z, g)
    to_reference = SPHERE.standardiser(z)
    volume = to_reference(uniform)[1].exp()
    assert abs(volume.mean().item() - 1) < 4 * volume.std().item() / math.sqrt(len(volume))
    assert (log_density(uniform).exp().mean() * math.exp(log_area(3)) - 1).abs() < 0.01


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_standardising_survives_dead_units(space):
    z = space.project(torch.cat([torch.randn(20, 2), torch.zeros(20, 1)], 1)).requires_grad_()
    u, log_jacobian = space.standardiser(z)(z)
    (u.sum() + log_jacobian.sum()).backward()
    assert u.isfinite().all() and log_jacobian.isfinite().all() and z.grad.isfinite().all()


def test_the_bias_of_logdet_is_wisharts():
    """1/2 log det of the sample covariance of 12 normals in 5 dimensions is low by a known amount."""
    g = torch.Generator().manual_seed(0)
    samples = torch.randn(4000, 12, 5, dtype=torch.float64, generator=g)
    values = torch.stack([-EUCLIDEAN.standardiser(z)(z)[1].mean() for z in samples])
    error = values.std().item() / math.sqrt(len(values))
    assert logdet_bias(12, 5) < -0.8
    assert abs(values.mean().item() - logdet_bias(12, 5)) < 4 * error


def test_power_spherical_has_the_density_of_its_samples():
    """Its density integrates to one, E cos is the closed form, and gradients reach both parameters."""
    torch.manual_seed(0)
    parameters = torch.randn(1, 5).repeat(100_000, 1).requires_grad_()
    posterior = PowerSpherical()(parameters, SPHERE)
    z = posterior.sample()
    assert torch.allclose(z.norm(dim=1), torch.ones(len(z)), atol=1e-5)
    uniform = SPHERE.sample(z.detach())
    density = posterior.log_prob(uniform).exp() * math.exp(log_area(4))
    assert abs(density.mean().item() - 1) < 4 * density.std().item() / math.sqrt(len(z))
    cosine = (z * posterior.mean).sum(1)
    kappa = posterior.kappa[0].item()
    expected = kappa / (kappa + 3)  # 2 alpha / (alpha + beta) - 1
    assert abs(cosine.mean().item() - expected) < 4 * cosine.std().item() / math.sqrt(len(z))
    assert torch.allclose(posterior.log_prob_table(uniform[:5])[:, 7], posterior.log_prob(uniform)[:5], atol=1e-5)
    z[:, 0].sum().backward()
    assert (parameters.grad.abs().sum(0) > 0).all()


@pytest.mark.parametrize("shape", [0.1, 0.6, 3.0, 400.0])
def test_gamma_samples_have_the_distribution_and_the_gradient_of_gamma(shape):
    count = 40_000
    shapes = torch.full((count,), shape, dtype=torch.float64, requires_grad=True)
    z = gamma.sample(shapes, torch.Generator().manual_seed(0))
    quantiles = torch.special.gammainc(shapes.detach(), z.detach()).sort().values  # uniform
    apart = (quantiles - torch.arange(count, dtype=torch.float64) / count).abs().max()
    assert apart < 1.95 / math.sqrt(count)  # Kolmogorov & Smirnov: one in a thousand
    (slope,) = torch.autograd.grad(z.sum(), shapes)
    assert abs(slope.mean().item() - 1) < 4 * slope.std().item() / math.sqrt(count)  # E z is the shape


@pytest.mark.parametrize("x", [0.5, 1, 2.5, 7, 14.5, 15, 300])
def test_digamma_is_torchs(x):
    assert digamma(x) == pytest.approx(torch.digamma(torch.tensor(x, dtype=torch.float64)).item(), rel=1e-14, abs=1e-14)
