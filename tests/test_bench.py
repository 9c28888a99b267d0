"""`ssvae bench`: any configuration, a table and the same numbers as JSON; and the guard over ratios."""

import importlib.util
import json
from pathlib import Path

import pytest

from helpers import refused, ssvae
from ssvae_cli.objective import Objective
from ssvae_cli.optimizers import Optimization

QUICK = ["bench.rounds=1", "bench.seconds=0.001", "trainer.batch_size=32", "trainer.device=cpu"]
GUARD = Path(__file__).parents[1] / "benchmarks" / "check.py"


DECODER = ["prior=unstructured_normal", "decoder=conv"]
BALLS = ["dataset=balls", "dataset.train=40", "dataset.steps=6", "dataset.size=16", "pairs=window", "encoder=mlp"]


@pytest.mark.parametrize("overrides", [[], ["prior=gaussian", "trainer.microbatch=8"], DECODER], ids=" ".join)
def test_every_part_is_timed_and_compared_with_the_limit(overrides, tmp_path, capsys):
    parts = {"limit", "pairs", "step"} | (set() if overrides == DECODER else {"objective"})
    assert ssvae("bench", *QUICK, *overrides, f"hydra.run.dir={tmp_path}/bench") == 0
    found = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert {k.removesuffix("/images_per_s") for k in found if k.endswith("/images_per_s")} == parts
    for part in parts:
        share = found[f"{part}/images_per_s"] / found["limit/images_per_s"]
        assert found[f"{part}/share_of_limit"] == pytest.approx(share)
    assert found["memory/peak_gib"] > 0 and found["batch_size"] == 32
    printed = capsys.readouterr()
    assert "training step" in printed.out and "stage 2/2  round 1: limit, pairs, step" in printed.err


def test_an_update_follows_as_many_steps_as_are_accumulated(tmp_path, monkeypatch):
    updated, step = [], Optimization.step
    monkeypatch.setattr(Optimization, "step", lambda self, at: (step(self, at), updated.append(self.updated))[0])
    words = ["encoder_prime=ema", "optimizer.accumulate=3", f"hydra.run.dir={tmp_path}/bench"]
    assert ssvae("bench", *QUICK, *words) == 0
    assert updated[:6] == [False, False, True] * 2


def test_other_times_are_encoded_and_scored_as_in_training(tmp_path, monkeypatch):
    counts, elbo = [], Objective.elbo
    monkeypatch.setattr(
        Objective,
        "elbo",
        lambda self, encoded, *rest: (counts.append(len(encoded.times)), elbo(self, encoded, *rest))[1],
    )
    words = [*BALLS, "pairs.negatives=within", "pairs.times=3", "pairs.length=2", "prior.direction=forward"]
    assert ssvae("bench", *QUICK, *words, f"hydra.run.dir={tmp_path}/bench") == 0
    assert set(counts) == {3}, "by training steps and by the objective alone"


def test_rounds_of_nothing_are_refused(tmp_path, capfd):
    line = refused(capfd, "bench", *QUICK, "bench.rounds=0", f"hydra.run.dir={tmp_path}/bench")
    assert "bench.rounds must be at least 1, got 0" in line


@pytest.mark.parametrize("found, code", [(0.99, 1), (1.0, 0), (3.0, 0)])
def test_the_guard_fails_with_one_line_where_a_ratio_is_beyond_its_limit(found, code, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("check", GUARD)
    spec.loader.exec_module(guard := importlib.util.module_from_spec(spec))
    monkeypatch.setattr(guard, "LIMITS", {"views": {"torchvision / views": -1.0}, "startup": {"step / torch": 2.0}})
    monkeypatch.setattr(
        guard, "measured", lambda group: {next(iter(guard.LIMITS[group])): found if group == "views" else 2}
    )
    assert guard.main([]) == code
    lines = ["bench-check: torchvision / views is 0.99, and must be at least 1"] * code
    assert capsys.readouterr().err.splitlines() == lines
