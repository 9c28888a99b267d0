"""`ssvae bench`: any configuration, a table and the same numbers as JSON; and the guard over stored ratios."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import refused, ssvae

QUICK = ["bench.rounds=1", "bench.seconds=0.001", "trainer.batch_size=32", "trainer.device=cpu"]
GUARD = Path(__file__).parents[1] / "benchmarks" / "check.py"


DECODER = ["prior=unstructured_normal", "decoder=conv"]


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


def test_rounds_of_nothing_are_refused(tmp_path, capfd):
    line = refused(capfd, "bench", *QUICK, "bench.rounds=0", f"hydra.run.dir={tmp_path}/bench")
    assert "bench.rounds must be at least 1, got 0" in line


@pytest.mark.parametrize("factor, code", [(0.9, 0), (0.8, 1), (1.5, 0)])
def test_the_guard_fails_where_a_ratio_fell_by_more_than_15_percent(factor, code, tmp_path):
    for name, scale in {"stored": 1.0, "found": factor}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"digits": {"step/share_of_limit": 0.8 * scale}}))
    command = [sys.executable, GUARD, tmp_path / "stored.json", "--found", tmp_path / "found.json"]
    assert subprocess.run(command, capture_output=True).returncode == code
