"""What a GPU must show is one script, and it runs: here in its short form, without a GPU."""

import importlib.util
import json
from pathlib import Path

from ssvae_cli.scores import in_batch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def test_the_script_for_a_gpu_runs_through_in_its_short_form(tmp_path, monkeypatch):
    monkeypatch.setattr(in_batch, "TILED_ABOVE", in_batch.TILED_ABOVE)  # the script sets it
    spec = importlib.util.spec_from_file_location("gpu", SCRIPT)
    spec.loader.exec_module(script := importlib.util.module_from_spec(spec))
    assert script.main([str(tmp_path / "gpu.json"), "--short"]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["bench/digits/eager"]["step/share_of_limit"] > 0
    assert found["tiles"]["pairs"] == 512 and found["tiles"]["seconds"] > 0
    assert found["one rank"]["difference"] < 1e-6
    (read,) = found["speed run"]
    assert read["epoch"] == 1 and 0 < read["probe/linear/validation"] <= 1
