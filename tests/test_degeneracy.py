"""Latents whose entropy is -inf are seen by their numerical rank and named."""

from types import SimpleNamespace

import pytest
import torch

from ssvae_cli.evaluation.degeneracy import constant_latent, dead_units, infinite_entropy, numerical_rank
from ssvae_cli.priors import VMF, Gaussian, InfoNCE


def latents(rank, dim=6):
    return torch.randn(500, rank) @ torch.randn(rank, dim)


def objective(prior, stochastic=False):
    encoder = SimpleNamespace(stochastic=stochastic)
    return SimpleNamespace(prior=prior, encoders=(encoder, encoder))


def gaussian():
    return Gaussian(latent_dim=6, correlation=0.5, learn=True, covariance="correlation")


def test_the_rank_is_that_of_the_samples_and_dead_units_are_named():
    assert numerical_rank(latents(6)) == 6 and numerical_rank(latents(4)) == 4
    z = latents(6)
    z[:, [1, 4]] = 3.0
    assert numerical_rank(z) == 4 and dead_units(z) == [1, 4]


@pytest.mark.parametrize("wrong", ["rank", "dead", "inputs", "constant"])
def test_a_deterministic_encoder_without_a_density_has_no_entropy(wrong):
    z = latents(5 if wrong == "rank" else 6)
    if wrong == "dead":
        z[:, 2] = 0.0
    if wrong == "constant":
        z[:] = z[0].clone()
    reason = infinite_entropy(
        objective(gaussian()), (z, latents(6)), inputs=(4 if wrong == "inputs" else 64, 64)
    ).reason
    assert "H(z) = -inf" in reason
    assert ("z is constant" if wrong == "constant" else "posterior=gaussian") in reason
    assert ("dead units: 2" in reason) == (wrong == "dead")


def test_the_partner_alone_may_be_without_a_density():
    assert "H(z') = -inf" in infinite_entropy(objective(gaussian()), (latents(6), latents(5)), (64, 64)).reason
    assert "H(z') = -inf" in infinite_entropy(objective(gaussian()), (latents(6), latents(6)), (64, 5)).reason
    assert infinite_entropy(objective(gaussian()), (latents(6), latents(6)), (6, 64)) is None


def test_noise_a_full_rank_and_a_prior_of_scores_lack_nothing():
    assert infinite_entropy(objective(gaussian(), stochastic=True), (latents(3), latents(3)), (64, 64)) is None
    assert infinite_entropy(objective(gaussian()), (latents(6), latents(6)), (64, 64)) is None
    scores = InfoNCE(critic=torch.nn.Identity(), direction="both")
    assert infinite_entropy(objective(scores), (latents(3), latents(3)), (64, 64)) is None


def test_on_the_sphere_full_rank_is_full():
    prior = VMF(latent_dim=6, concentration=3.0, learn=True)
    z = torch.nn.functional.normalize(torch.randn(500, 6))
    assert infinite_entropy(objective(prior), (z, z), (64, 64)) is None
    reason = infinite_entropy(objective(prior), (torch.nn.functional.normalize(latents(3)), z), (64, 64)).reason
    assert "H(z) = -inf" in reason and "posterior=power_spherical" in reason


@pytest.mark.parametrize("scale, constant", [(0.0, True), (1e-7, True), (1e-2, False)])
def test_z_is_constant_up_to_the_rounding_of_float32(scale, constant):
    z = 3.0 + scale * torch.randn(50, 4)
    assert (constant_latent((latents(6), z)) is not None) == constant


@pytest.mark.parametrize("what", ["z", "coordinate 3"])
def test_latents_that_coincide_have_no_density(what):
    """As behind a ReLU that is dead for a third of all x: the rank is full."""
    z = latents(6)
    if what == "z":
        z[:170] = z[0].clone()
    else:
        z[:170, 3] = 0.0
    reason = infinite_entropy(objective(gaussian()), (z, latents(6)), (64, 64)).reason
    assert "H(z) = -inf" in reason and f"{what} is the same for 34% of all x" in reason
    assert infinite_entropy(objective(gaussian(), stochastic=True), (z, z), (64, 64)) is None
