"""Latents whose entropy is -inf are seen by their numerical rank and named."""

from types import SimpleNamespace

import pytest
import torch

from ssvae_cli.evaluation.degeneracy import dead_units, numerical_rank, warn_of_degeneracy
from ssvae_cli.priors import VMF, Gaussian, InfoNCE


def latents(rank, dim=6):
    return torch.randn(500, rank) @ torch.randn(rank, dim)


def objective(prior, stochastic=False):
    encoder = SimpleNamespace(stochastic=stochastic)
    return SimpleNamespace(prior=prior, encoder=encoder, encoder_prime=encoder)


def gaussian():
    return Gaussian(latent_dim=6, correlation=0.5, learn=True, covariance="correlation")


def test_the_rank_is_that_of_the_samples_and_dead_units_are_named():
    assert numerical_rank(latents(6)) == 6 and numerical_rank(latents(4)) == 4
    z = latents(6)
    z[:, [1, 4]] = 3.0
    assert numerical_rank(z) == 4 and dead_units(z) == [1, 4]


@pytest.mark.parametrize("wrong", ["rank", "dead", "inputs"])
def test_a_deterministic_encoder_without_a_density_is_warned_of_and_offered_noise(wrong, caplog):
    z = latents(5 if wrong == "rank" else 6)
    if wrong == "dead":
        z[:, 2] = 0.0
    warn_of_degeneracy(objective(gaussian()), (z, latents(6)), inputs=4 if wrong == "inputs" else 64)
    assert "H(z) = -inf" in caplog.text and "encoder.posterior=gaussian" in caplog.text
    assert ("dead units: 2" in caplog.text) == (wrong == "dead")
    assert ("H(z')" in caplog.text) == (wrong == "inputs")


def test_noise_a_full_rank_and_a_prior_of_scores_are_not_warned_of(caplog):
    warn_of_degeneracy(objective(gaussian(), stochastic=True), (latents(3), latents(3)), 64)
    warn_of_degeneracy(objective(gaussian()), (latents(6), latents(6)), 64)
    scores = InfoNCE(critic=torch.nn.Identity(), direction="both")
    warn_of_degeneracy(objective(scores), (latents(3), latents(3)), 64)
    assert caplog.text == ""


def test_on_the_sphere_full_rank_is_full(caplog):
    prior = VMF(latent_dim=6, concentration=3.0, learn=True)
    z = torch.nn.functional.normalize(torch.randn(500, 6))
    warn_of_degeneracy(objective(prior), (z, z), 64)
    assert caplog.text == ""
    warn_of_degeneracy(objective(prior), (torch.nn.functional.normalize(latents(3)), z), 64)
    assert "H(z) = -inf" in caplog.text and "encoder.posterior=power_spherical" in caplog.text
