"""`ssvae train` on a user's own arrays: two modalities, a prior of one, and what training does not read."""

import numpy as np
import pytest

from helpers import refused, ssvae

RNG = np.random.default_rng(0)


@pytest.fixture
def modalities(tmp_path):
    """`ssvae train` on images x and vectors x2."""
    np.savez(tmp_path / "file.npz", x=RNG.integers(0, 256, (60, 1, 8, 8), np.uint8), x2=RNG.normal(size=(60, 5)))
    settings = ["trainer.epochs=1", "trainer.batch_size=20", "trainer.device=cpu", "encoder.backbone.width=4"]
    return ["train", "dataset=paired", f"dataset.path={tmp_path}/file.npz", *settings, f"hydra.run.dir={tmp_path}/run"]


def test_modalities_of_two_shapes_are_refused_to_encoders_of_one_kind(modalities, capfd):
    assert "give encoder_prime=separate" in refused(capfd, *modalities, "encoder_prime=shared")


def test_two_modalities_train_with_encoders_of_two_kinds(modalities, tmp_path):
    """The file brings encoder=convnet encoder@encoder_prime=mlp."""
    assert ssvae(*modalities) == 0
    assert '"probe/linear/test": null' in (tmp_path / "run" / "summary.json").read_text()


def test_a_prior_of_one_x_says_that_the_x_prime_of_the_data_is_not_read(modalities, tmp_path):
    assert ssvae(*modalities, "prior=unstructured_normal", "evaluation=none") == 0
    log = (tmp_path / "run" / "train.log").read_text()
    assert "prior=unstructured_normal is of one x: the x' of the data is not read" in log


def test_training_reads_neither_labels_nor_factors(tmp_path):
    x = RNG.integers(0, 256, (60, 3, 8, 8), np.uint8)
    known = {"y": np.arange(60) % 4, "factors": RNG.normal(size=(60, 2))}
    for name, arrays in {"known": known, "unknown": {}}.items():
        np.savez(tmp_path / f"{name}.npz", x=x, **arrays)
        command = ["train", "dataset=npz", f"dataset.path={tmp_path}/{name}.npz", f"hydra.run.dir={tmp_path}/{name}"]
        command += ["trainer.epochs=1", "trainer.batch_size=20", "trainer.device=cpu", "encoder.backbone.width=4"]
        assert ssvae(*command) == 0
    weights = [(tmp_path / name / "encoder.safetensors").read_bytes() for name in ("known", "unknown")]
    assert weights[0] == weights[1]
