"""Nouns stand in the number that is meant.

1. One thing is not several, nor several one, in counts and before lists.
"""

from types import SimpleNamespace

import pytest
import torch

from helpers import ssvae
from ssvae_cli.errors import agreeing, counted
from ssvae_cli.evaluation.linear_probe import log_uncommon_classes


def test_a_number_and_its_noun_agree():
    assert [counted(count, "step") for count in (0, 1, 2)] == ["0 steps", "1 step", "2 steps"]
    assert [agreeing(count, "class", "classes") for count in (1, 2)] == ["class", "classes"]


@pytest.mark.parametrize("absent, said", [([1], "class dog"), ([1, 2], "classes dog, emu")])
def test_one_class_or_several_are_named(absent, said, caplog):
    left = [label for label in range(3) if label not in absent]
    splits = {"train": SimpleNamespace(y=torch.arange(3)), "test": SimpleNamespace(y=torch.tensor(left))}
    with caplog.at_level("INFO"):
        log_uncommon_classes(SimpleNamespace(splits=splits, classes=("cat", "dog", "emu")), "test")
    assert f"test has no label of the {said}: accuracy" in caplog.text


@pytest.mark.parametrize("seeds, jobs", [("0", "1 job (1 not begun)"), ("0,1", "2 jobs (2 not begun)")])
def test_a_sweep_counts_its_jobs(seeds, jobs, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ssvae("train", "-m", f"seed={seeds}", "sweep.dry_run=true") == 0
    assert f"ssvae: {jobs}; none was started" in capfd.readouterr().err
