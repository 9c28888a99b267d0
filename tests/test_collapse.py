"""Collapse is noticed while training, once; a healthy run, and an early epoch, are not warned of."""

import numpy as np
import pytest
import torch

from helpers import PENALTY, composed, ssvae
from ssvae_cli.datasets.digits import digits
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.objective import make_objective
from ssvae_cli.pairs.noise import Noise
from ssvae_cli.training.collapse import WARM_UP, CollapseWatch

CHANCE = {"mi/infonce/validation": -0.0, "mi/infonce/ceiling/validation": 4.852, "geometry/rank/validation": 6.0}
LINE = {"mi/infonce/validation": 1.0, "mi/infonce/ceiling/validation": 4.852, "geometry/rank/validation": 1.02}
HEALTHY = {"mi/infonce/validation": 2.0, "mi/infonce/ceiling/validation": 4.852, "geometry/rank/validation": 5.0}


@pytest.mark.parametrize("values, said", [(CHANCE, "0 of at most log K = 4.85"), (LINE, "is 1.02, of 8 dimensions")])
def test_a_lasting_collapse_is_warned_of_once_with_its_causes(values, said, caplog):
    watch = CollapseWatch(latent_dim=8, last_step=10_000)
    for step in range(WARM_UP, 2000, 100):
        watch.look(step, values)
    (message,) = caplog.messages
    assert said in message and "optimizer.lr" in message and "pairs" in message


def test_the_last_epoch_alone_is_enough(caplog):
    CollapseWatch(latent_dim=8, last_step=5).look(5, CHANCE)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("values", [[HEALTHY] * 9, [CHANCE, HEALTHY] * 5, [{}] * 9], ids=["sound", "once", "unknown"])
def test_a_healthy_run_is_not_warned_of(values, caplog):
    watch = CollapseWatch(latent_dim=8, last_step=10_000)
    for epoch, each in enumerate(values):
        watch.look(500 * (epoch + 1), each)
    assert caplog.messages == []


def test_early_epochs_are_not_warned_of(caplog):
    watch = CollapseWatch(latent_dim=8, last_step=10_000)
    for step in range(1, WARM_UP, 10):
        watch.look(step, CHANCE)
    assert caplog.messages == []


def test_pairs_told_apart_on_train_are_no_collapse(caplog):
    CollapseWatch(latent_dim=8, last_step=5).look(5, CHANCE | {"elbo/train": 0.33})
    assert caplog.messages == []


def test_one_dimension_has_rank_one(caplog):
    CollapseWatch(latent_dim=1, last_step=5).look(5, LINE)
    assert caplog.messages == []


@pytest.mark.parametrize("weight, warned", [(0.0, True), (30.0, False)], ids=["ignores x", "reads x"])
def test_a_posterior_that_ignores_x_is_warned_of_and_one_that_reads_it_is_not(weight, warned, caplog):
    config = composed("posterior=gaussian", "encoder.backbone.width=4", "encoder.latent_dim=4")
    data, pairs = digits(), Noise(std=0.5)
    objective = make_objective(config, *pairs.shapes(data)).eval()
    with torch.no_grad():
        objective.encoder.projector[-1].weight *= weight
    explained = Reading(objective, pairs, data, fitting_pairs=100, density=None).explained("validation")
    CollapseWatch(latent_dim=4, last_step=5).look(5, {}, explained)
    assert ["the posterior ignores x" in message for message in caplog.messages] == [True] * warned


def test_what_a_posterior_explains_is_read_of_the_views_that_z_were_drawn_of():
    """Here views vary more than clean x, and the noise is a thousandth: all is explained, and no more."""
    config = composed("posterior=gaussian", "encoder.backbone.width=4", "encoder.latent_dim=4")
    data, pairs = digits(), Noise(std=5.0)
    objective = make_objective(config, *pairs.shapes(data)).eval()
    with torch.no_grad():
        objective.encoder.projector[-1].bias[4:] = -20.0  # the least noise
        objective.encoder.projector[-1].weight[:4] *= 100
    explained = Reading(objective, pairs, data, fitting_pairs=100, density=None).explained("validation")
    assert torch.allclose(explained, torch.ones(4).double(), atol=1e-2)


FEW = ["trainer.device=cpu", "trainer.epochs=30", "trainer.eval_every=30", "trainer.batch_size=80", PENALTY]
FEW += ["encoder.backbone.width=8", "evaluation=quick"]


def test_a_run_on_images_that_are_all_the_same_is_warned_of_and_one_on_digits_is_not(tmp_path):
    np.savez(tmp_path / "same.npz", x=np.repeat(np.random.default_rng(0).integers(0, 256, (1, 8, 8), np.uint8), 200, 0))
    data = {"same": ["dataset=npz", f"dataset.path={tmp_path}/same.npz"], "digits": ["dataset.limit=160"]}
    for name, given in data.items():
        assert ssvae("train", *FEW, *given, f"hydra.run.dir={tmp_path}/{name}") == 0
        warned = "collapse: mi/infonce is 0 of at most log K" in (tmp_path / name / "train.log").read_text()
        assert warned == (name == "same")
