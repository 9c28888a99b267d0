"""Collapse is noticed while training, once; a healthy run, and an early epoch, are not warned of."""

import pytest

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
