"""trainer.precision=float64: the whole run is float64, and so is what is read from it.

1. Every parameter and buffer, and the ELBO of every prior, with no constant that float32 has rounded.
2. The data: differences below float32's resolution are learned from.
3. What is logged and saved; resume, eval, embed and export go on in float64.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers import PENALTY, composed, ssvae
from ssvae_cli.datasets.base import CONTRACT as DATA
from ssvae_cli.device import set_precision
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.load_run import load_run
from ssvae_cli.objective import make_objective
from ssvae_cli.pairs.base import make_pairs
from ssvae_cli.training import checkpoint

FINE = 1 + 1e-10 * np.random.default_rng(0).standard_normal((120, 3))  # all 1 in float32
CASES = [[f"prior={path.stem}"] for path in sorted((conf() / "prior").glob("*.yaml"))]
CASES += [["decoder=conv"], ["estimator=queue"], ["prior=vmf", "posterior=power_spherical"], ["pairs=simclr"]]


def float_types(*tensors: torch.Tensor) -> set[torch.dtype]:
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point()}


def tensors_in(node) -> list[torch.Tensor]:
    """All tensors of a nested checkpoint; a fused optimizer counts its steps in float32, whatever it updates."""
    if isinstance(node, torch.Tensor):
        return [node]
    if isinstance(node, dict):
        node = [value for key, value in node.items() if key != "step"]
    nodes = node if isinstance(node, (list, tuple)) else []
    return [tensor for each in nodes for tensor in tensors_in(each)]


def is_rounded(value: float) -> bool:
    """Whether float32 holds the number exactly, as a number that was computed in float32 is held."""
    return float(np.float32(value)) == value


@pytest.mark.parametrize("overrides", CASES, ids=" ".join)
def test_parameters_buffers_views_and_elbo_are_float64(overrides):
    set_precision("float64")
    config = composed("trainer.precision=float64", "encoder.backbone.width=4", *overrides)
    data = build(config.dataset, "dataset", DATA, fitted={})
    pairs = make_pairs(config.pairs, data)
    objective = make_objective(config, *pairs.shapes(data))
    batch, generator = data.train.rows(slice(0, 32)), torch.Generator().manual_seed(0)
    views = pairs(batch, generator)
    elbo = objective(*views, unit=pairs.to_unit(views[0]), generator=generator)
    clean = pairs.clean(batch)
    everything = [*objective.parameters(), *objective.buffers(), *views, clean, objective.features(clean), elbo]
    assert float_types(*everything) == {torch.float64}


def test_the_temperature_is_not_rounded():
    set_precision("float64")
    config = composed("trainer.precision=float64", "prior.critic.temperature=0.07")
    critic = make_objective(config, (1, 8, 8), (1, 8, 8)).prior.critic
    assert critic.log_temperature.item() == math.log(0.07)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of one epoch on vectors, continued to two."""
    folder = tmp_path_factory.mktemp("float64")
    np.savez(folder / "x.npz", x=FINE)
    data = [f"dataset.path={folder}/x.npz", "dataset=npz", "pairs=noise", "encoder=mlp", "posterior=gaussian"]
    few = ["trainer.device=cpu", "trainer.epochs=1", "encoder.backbone.hidden=[8]", "encoder.projector=[]", PENALTY]
    few += ["evaluation.metrics.eq23.samples=50"]
    assert ssvae("train", *data, *few, "trainer.precision=float64", f"hydra.run.dir={folder}/run") == 0
    assert ssvae("train", f"resume={folder}/run", "trainer.epochs=2") == 0
    return folder / "run"


def test_what_is_saved_and_logged_is_float64_after_a_resume_too(run):
    assert float_types(*tensors_in(checkpoint.load(run))) == {torch.float64}
    assert float_types(*load_file(run / "encoder.safetensors").values()) == {torch.float64}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    summary = json.loads((run / "summary.json").read_text())
    elbos = [*(line["elbo/train"] for line in lines), lines[-1]["elbo/validation"], summary["elbo/test"]]
    assert not any(map(is_rounded, elbos)), elbos


def test_eval_embed_and_export_go_on_in_float64(run, tmp_path):
    commands = {"eval": ["eval", "training.steps=5"], "embed": ["embed"], "pt2": ["embed", "export=pt2"]}
    for place, arguments in commands.items():
        set_precision("float32")
        assert ssvae(*arguments, f"run={run}", "device=cpu", f"hydra.run.dir={tmp_path}/{place}") == 0
    trained, again = (json.loads((at / "summary.json").read_text()) for at in (run, tmp_path / "eval"))
    assert again["elbo/test"] == pytest.approx(trained["elbo/test"], abs=1e-12)

    loaded = load_run(str(run), device="cpu", trust=False)
    x = loaded.data.test.x
    arrays = np.load(tmp_path / "embed" / "embeddings.npz")
    assert (x.numpy() == FINE[arrays["row_test"]]).all() and len(x.unique()) > 1
    with torch.no_grad():
        clean = loaded.pairs.clean(loaded.data.test)
        features, z = loaded.objective.features(clean), loaded.objective.posterior(clean).mean
    program = torch.export.load(tmp_path / "pt2" / "encoder.pt2").module()
    for name, want, got in zip(("features_test", "z_test"), (features, z), program(x)):
        assert arrays[name].dtype == np.float64 and got.dtype == torch.float64
        assert np.allclose(arrays[name], want, rtol=0, atol=1e-13) and torch.allclose(got, want, rtol=0, atol=1e-13)
