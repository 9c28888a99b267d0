"""Encoders that a theory asks for: one linear map, and an invertible one with its inverse and its log-determinant."""

import pytest
import torch

from helpers import composed
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.encoders import posteriors
from ssvae_cli.errors import UserError
from ssvae_cli.instantiate.build import build


def made(kind, shape, *overrides, space="euclidean", posterior=None):
    size = torch.Size(shape).numel()
    config = composed(f"encoder={kind}", f"encoder.latent_dim={size}", *overrides).encoder
    return build(config, "encoder", shape=shape, space=SPACES[space], posterior=posterior).eval()


def random(shape, **options):
    """A RealNVP far from the identity where it begins."""
    torch.manual_seed(0)
    encoder = made("realnvp", shape, "encoder.backbone.layers=3", "encoder.backbone.hidden=[16]", **options)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return encoder.double()


@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 2, 2)])
def test_the_log_determinant_is_that_of_autograds_jacobian(shape):
    encoder, x = random(shape), torch.randn(4, *shape, dtype=torch.float64)
    flat = lambda one: encoder(one.view(1, *shape)).mean[0]
    expected = [torch.autograd.functional.jacobian(flat, one.flatten()).det().abs().log() for one in x]
    assert torch.allclose(encoder.log_det(x), torch.stack(expected)) and encoder.log_det(x).std() > 0.1


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2,)])
def test_the_inverse_gives_x_back(shape):
    encoder, x = random(shape), torch.randn(50, *shape, dtype=torch.float64)
    z = encoder(x).mean
    assert z.shape == (50, torch.Size(shape).numel()) and not torch.allclose(z, x.flatten(1), atol=0.1)
    assert torch.allclose(encoder.inverse(z), x, atol=1e-8)


def test_it_begins_as_a_permutation_that_its_weights_keep():
    encoder, x = made("realnvp", (6,)), torch.randn(9, 6)
    z = encoder(x).mean
    assert torch.equal(z.sort(1).values, x.sort(1).values) and encoder.log_det(x).abs().max() == 0
    torch.manual_seed(7)
    other = made("realnvp", (6,))
    assert not torch.equal(other(x).mean, z)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(x).mean, z)


def test_the_location_of_every_posterior_is_the_invertible_map():
    x = torch.randn(3, 4)
    noise = {"least_std": 0.01, "largest_std": 5.0}
    gaussian, box = posteriors.Gaussian(**noise), posteriors.LogitNormal(**noise)
    stochastic = made("realnvp", (4,), posterior=gaussian)
    assert torch.equal(stochastic(x).mean, stochastic.features(x)) and stochastic.stochastic
    deterministic = made("realnvp", (4,), space="box")
    assert torch.allclose(deterministic(x).mean, deterministic.features(x).sigmoid())
    inside = made("realnvp", (4,), space="box", posterior=box)(x).sample()
    assert inside.shape == (3, 4) and ((inside > 0) & (inside < 1)).all()


@pytest.mark.parametrize(
    "shape, space, override, said",
    [
        ((5,), "euclidean", "encoder.latent_dim=4", "encoder.latent_dim must be 5, the dimension of x"),
        ((5,), "sphere", "encoder.backbone.layers=1", "the prior's space \\(sphere\\) has one less"),
        ((1,), "euclidean", "encoder.backbone.layers=1", "an x of at least 2 numbers"),
        ((5,), "euclidean", "encoder.backbone.layers=0", "encoder.backbone.layers must be at least 1"),
    ],
)
def test_what_cannot_be_inverted_is_refused_in_a_line(shape, space, override, said):
    with pytest.raises(UserError, match=said) as error:
        made("realnvp", shape, override, space=space)
    assert "\n" not in str(error.value)


def test_the_linear_encoder_is_linear():
    encoder = made("linear", (2, 3))
    x, y = torch.randn(2, 7, 2, 3)
    origin = encoder(torch.zeros(1, 2, 3)).mean
    g = lambda x: encoder(x).mean - origin
    assert torch.allclose(g(2 * x - 3 * y), 2 * g(x) - 3 * g(y), atol=1e-5)
    assert sum(p.numel() for p in encoder.parameters()) == 6 * 6 + 6
