"""`ssvae eval`: a run read again.

1. What training reported on test is what a later reading finds.
2. A fresh critic reads the information of pairs whose information is known.
"""

import json
import math

import pytest
import torch

from helpers import ssvae, train
from ssvae_cli.critics import Separable
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.estimators.nwj import NWJ
from ssvae_cli.evaluation.fit import Fit as Training
from ssvae_cli.evaluation.fresh_critics import fresh_bounds
from ssvae_cli.mi.data import Pairs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    train(run, "trainer.epochs=1")
    return run


def test_a_later_reading_finds_what_training_reported(run, tmp_path):
    assert ssvae("eval", f"run={run}", "training.steps=100", "views=1", f"hydra.run.dir={tmp_path}") == 0
    told, found = (json.loads((folder / "summary.json").read_text()) for folder in (run, tmp_path))
    again = [key for key in found if key.endswith("/test") and "/fresh/" not in key]
    assert {"elbo/test", "probe/linear/test", "probe/knn/test", "mi/infonce/test"} <= set(again)
    for key in again:
        assert found[key] == pytest.approx(told[key], abs=1e-6), key
    assert {"mi/fresh/infonce/test", "mi/fresh/infonce/error", "mi/fresh/nwj/test"} <= set(found)
    assert {"pairs.png", "scores.png", "latents.png"} <= {p.name for p in (tmp_path / "figures").iterdir()}


def test_a_run_with_one_latent_is_read_without_information(tmp_path):
    train(tmp_path / "run", "decoder=conv", "trainer.epochs=1")
    assert ssvae("eval", f"run={tmp_path}/run", f"hydra.run.dir={tmp_path}/out") == 0
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert found["elbo/test"] is not None and not [key for key in found if "fresh" in key and found[key] is not None]


def test_fresh_critics_read_a_known_information():
    g, rho = torch.Generator().manual_seed(0), 0.8
    x, e = torch.randn(2, 4000, 2, generator=g)
    y = (rho * x + math.sqrt(1 - rho**2) * e).exp()  # a monotone map of a coordinate changes nothing
    information = -math.log(1 - rho**2)
    parts = [Pairs(x[a:b], y[a:b]) for a, b in ((0, 2800), (2800, 3400), (3400, 4000))]
    values = fresh_bounds(
        *parts,
        critic=lambda dim: Separable(latent_dim=dim, hidden=[64], embedding_dim=16),
        estimators={"infonce": InfoNCE(), "nwj": NWJ()},
        training=Training(steps=300, batch_size=128, lr=3e-3, eval_every=50, patience=5),
        seed=0,
    )
    for name in ("infonce", "nwj"):
        value, error = values[f"mi/fresh/{name}/test"], values[f"mi/fresh/{name}/error"]
        assert 0 < error < 0.1 and -0.15 < value - information < 3 * error, name


@pytest.mark.parametrize(
    "overrides, said",
    {
        "none given": ([], "run has no default"),
        "nowhere": (["run=nowhere"], "run=nowhere: no such folder"),
        "no run": (["run=."], "no checkpoint there"),
        "no views": (["run={run}", "views=0"], "views must be an integer of at least 1, got 0"),
        "no steps": (["run={run}", "training.steps=0"], "training.steps must be at least 1"),
        "an estimator of entropies": (["run={run}", "+estimator@estimators.kde=kde"], "kde does not estimate I"),
    }.values(),
)
def test_bad_input_is_one_line(overrides, said, run, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert ssvae("eval", *(o.format(run=run) for o in overrides)) == 2
    line = capfd.readouterr().err.strip()
    assert said in line and "\n" not in line
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_run_that_names_a_strangers_class_is_not_built(run, tmp_path, capfd):
    edited = tmp_path / "edited" / "checkpoints"
    edited.mkdir(parents=True)
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    state["config"] = state["config"].replace("ssvae_cli.priors.infonce.InfoNCE", "subprocess.Popen")
    torch.save(state, edited / "last.pt")
    assert ssvae("eval", f"run={tmp_path}/edited") == 2
    assert "subprocess.Popen" in capfd.readouterr().err
