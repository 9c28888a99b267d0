"""An encoder in microbatches: the value and the gradient of one over the whole batch, and batch norm's own rule."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from ssvae_cli.critics import Cosine
from ssvae_cli.encoders import Encoder
from ssvae_cli.encoders.posteriors import Deterministic, Gaussian
from ssvae_cli.estimators import InfoNCE
from ssvae_cli.objective import Objective
from ssvae_cli.priors import InfoNCE as InfoNCEPrior

GAUSSIAN = Gaussian(least_std=0.01, largest_std=5.0)


class Backbone(nn.Module):
    """Smooth, with dropout and batch norm, or without."""

    def __init__(self, shape, norm, dropout):
        super().__init__()
        self.out_dim = 5
        norm = nn.BatchNorm2d(5) if norm else nn.Identity()
        self.layers = nn.Sequential(nn.Conv2d(shape[0], 5, 3), norm, nn.Tanh(), nn.Dropout(dropout))

    def forward(self, x):
        return self.layers(x).mean((2, 3))


def objective(*, norm=False, dropout=0.0, posterior=GAUSSIAN):
    backbone = partial(Backbone, norm=norm, dropout=dropout)
    encoder = Encoder(shape=(1, 6, 6), backbone=backbone, latent_dim=4, projector=[], posterior=posterior)
    prior = InfoNCEPrior(critic=Cosine(temperature=0.2), direction="both")
    return Objective(encoder=encoder, encoder_prime=None, prior=prior, estimator=InfoNCE()).double()


def value_and_gradients(made, rows, x, x_prime):
    made.encoder.microbatch = rows
    torch.manual_seed(3)  # dropout's
    elbo = made(x, x_prime, generator=torch.Generator().manual_seed(0))
    return [elbo.detach(), *torch.autograd.grad(elbo, list(made.parameters()))]


@pytest.mark.parametrize("rows", [2, 4, 7, 100])
def test_microbatches_give_the_value_and_the_gradient_of_the_whole_batch(rows):
    made, views = objective(), torch.randn(2, 10, 1, 6, 6, dtype=torch.float64)
    whole, parts = (value_and_gradients(made, r, *views) for r in (None, rows))
    assert all(torch.allclose(p, w, rtol=1e-10, atol=1e-12) for p, w in zip(parts, whole))


def test_what_the_encoder_drew_at_first_it_draws_again():
    """The gradient is that of the value: along it, the value rises at the rate of its squared length."""
    made, views = objective(dropout=0.5, posterior=Deterministic()), torch.randn(2, 10, 1, 6, 6, dtype=torch.float64)
    value, *gradients = value_and_gradients(made, 4, *views)
    with torch.no_grad():
        for p, g in zip(made.parameters(), gradients):
            p += 1e-6 * g
    risen = value_and_gradients(made, 4, *views)[0]
    assert (risen - value) / 1e-6 == pytest.approx(sum(g.square().sum().item() for g in gradients), rel=1e-3)


def test_batch_norm_sees_each_row_once():
    """Its running statistics are those of the microbatches in turn, forward alone."""
    made, views = objective(norm=True), torch.randn(2, 10, 1, 6, 6, dtype=torch.float64)
    plain = copy.deepcopy(made)
    value_and_gradients(made, 5, *views)
    for view in views:
        for piece in view.split(5):
            plain.encoder(piece)
    for (name, found), expected in zip(made.named_buffers(), plain.buffers()):
        assert torch.allclose(found, expected), name
