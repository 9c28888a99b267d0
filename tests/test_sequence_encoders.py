"""Encoders of sequences: causal, of the shapes they say, and trained end to end."""

import pytest
import torch

from helpers import composed, train
from ssvae_cli.encoders import MLP, ConvNet
from ssvae_cli.errors import UserError
from ssvae_cli.instantiate.build import build


def made(kind, shape, *overrides):
    config = composed(f"encoder={kind}", "encoder.backbone.width=16", *overrides)
    return build(config.encoder, "encoder", shape=shape)


@pytest.mark.parametrize("shape, frame", [((6, 3), "mlp"), ((6, 3, 8, 8), "mlp"), ((6, 3, 8, 8), "convnet")])
@pytest.mark.parametrize("kind", ["gru", "causal_conv"])
def test_windows_of_vectors_and_of_frames_become_features_and_z(kind, shape, frame):
    encoder = made(kind, shape, f"encoder/frame={frame}", "encoder.latent_dim=5")
    x = torch.randn(4, *shape)
    assert encoder.features(x).shape == (4, 16) and encoder(x).sample().shape == (4, 5)


@pytest.mark.parametrize("kind", ["gru", "causal_conv"])
@pytest.mark.parametrize("shape, reader", [((6, 3), MLP), ((6, 3, 8, 8), ConvNet)])
def test_what_reads_a_step_is_by_default_what_suits_it(kind, shape, reader):
    assert isinstance(made(kind, shape).backbone.frame, reader)


@pytest.mark.parametrize("kind", ["gru", "causal_conv"])
def test_no_step_sees_a_later_one_and_the_last_sees_the_first(kind):
    backbone = made(kind, (6, 3)).backbone.eval()
    x = torch.randn(2, 6, 3, requires_grad=True)
    for step in range(6):
        (seen,) = torch.autograd.grad(backbone.steps(x)[:, step].sum(), x)
        reached = seen.abs().sum((0, 2)) > 0
        assert not reached[step + 1 :].any() and reached[: step + 1].all(), step


def test_a_convolution_sees_as_many_steps_as_it_says():
    backbone = made("causal_conv", (40, 3), "encoder.backbone.layers=3", "encoder.backbone.kernel=3").backbone.eval()
    x = torch.randn(1, 40, 3, requires_grad=True)
    (seen,) = torch.autograd.grad(backbone(x).sum(), x)
    assert (seen.abs().sum((0, 2)) > 0).sum() == 1 + (3 - 1) * (2**3 - 1)


def test_features_are_those_of_the_whole_window_at_its_last_step():
    backbone = made("gru", (6, 3)).backbone.eval()
    x = torch.randn(2, 6, 3)
    assert torch.allclose(backbone(x), backbone.steps(x)[:, -1])


def test_images_are_refused_in_a_line():
    with pytest.raises(UserError, match="for sequences") as error:
        made("gru", (1, 8, 8))
    assert "\n" not in str(error.value)


def test_balls_train_on_context_pairs_with_encoders_of_two_kinds(tmp_path):
    few = ["dataset.train=100", "dataset.validation=40", "dataset.test=40", "dataset.size=16"]
    few += ["trainer.batch_size=50", "trainer.epochs=1"]
    summary = train(tmp_path / "run", "dataset=balls", "encoder@encoder_prime=mlp", *few)
    assert summary["elbo/test"] is not None and (tmp_path / "run" / "figures" / "pairs.png").exists()
