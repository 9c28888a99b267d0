"""`ssvae eval`: a run read again, and the information that fresh critics read."""

import importlib.util
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import composed, normal_pairs, refused, ssvae, train
from ssvae_cli.datasets.base import Data, Factor, Split
from ssvae_cli.estimators import NWJ, InfoNCE
from ssvae_cli.eval import fresh_information
from ssvae_cli.evaluation.evaluation import Evaluation
from ssvae_cli.evaluation.examples import examples, umap_plane
from ssvae_cli.instantiate.build import build
from ssvae_cli.pairs.base import Identity
from ssvae_cli.pairs.patches import Patches
from ssvae_cli.pairs.window import Window
from ssvae_cli.tracking.missing import Missing


def test_a_later_reading_finds_what_training_reported(finished, tmp_path):
    assert ssvae("eval", f"run={finished}", "training.steps=100", f"hydra.run.dir={tmp_path}") == 0
    reported, found = (json.loads((folder / "summary.json").read_text()) for folder in (finished, tmp_path))
    again = reported.keys() & found.keys()
    assert reported.keys() - again == {"time/train_s", "throughput/images_per_s", "seed", "device", "versions"}
    assert found["probe/linear/random_init"] is not None and found["probe/linear/pixels"] is not None
    for key in again:
        assert found[key] == pytest.approx(reported[key], abs=1e-6), key
    further = {f"mi/fresh/{name}/{what}" for name in ("nwj", "js") for what in ("test", "error")}
    assert further == {key for key in found.keys() - again if "fresh" in key}
    assert {"pairs.png", "scores.png", "latents.png", "neighbours.png"} <= {
        p.name for p in (tmp_path / "figures").iterdir()
    }


def test_a_run_with_one_latent_is_read_without_information(tmp_path):
    train(tmp_path / "run", "decoder=conv", "trainer.epochs=1")
    assert ssvae("eval", f"run={tmp_path}/run", f"hydra.run.dir={tmp_path}/out") == 0
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert found["elbo/test"] is not None and not [key for key in found if "fresh" in key and found[key] is not None]


@pytest.mark.parametrize("views", [1, 3])
def test_fresh_critics_read_pairs_alone(views):
    latents = lambda split: (torch.randn(40, 2),) * views
    reading = SimpleNamespace(latents=latents, fitting_latents=latents)
    values = fresh_information(composed("run=none", command="eval"), {"nwj": NWJ()}, None, reading)
    said = None if views == 1 else Missing("I and KL are read of pairs, and these are 3 views")
    assert values == {"mi/fresh/nwj/test": said, "mi/fresh/nwj/error": said}


@pytest.mark.parametrize("order", ["drawn", "sorted"])
def test_fresh_critics_read_a_known_information(order, monkeypatch):
    rho, information = 0.8, -math.log(1 - 0.8**2)
    x, y = (side.float() for side in normal_pairs(4000, 2, rho, torch.Generator().manual_seed(0)))
    y = y.exp()  # a monotone map of a coordinate changes nothing
    test = torch.arange(3400, 4000)
    if order == "sorted":  # as a folder a class is: of a part of test, the same is read
        monkeypatch.setattr("ssvae_cli.eval.SCORED", 300)
        test = test[x[test, 0].argsort()]
    rows = {"train": slice(2800), "validation": slice(2800, 3400), "test": test}
    latents = lambda split: (x[rows[split]], y[rows[split]])
    reading = SimpleNamespace(latents=latents, fitting_latents=latents)
    settings = ["critic.hidden=[64]", "critic.embedding_dim=16", "training.steps=300", "training.batch_size=128"]
    config = composed("run=none", "training.lr=0.003", "training.eval_every=50", *settings, command="eval")
    training = build(config.training, "training")
    values = fresh_information(config, {"infonce": InfoNCE(), "nwj": NWJ()}, training, reading)
    for name in ("infonce", "nwj"):
        value, error = values[f"mi/fresh/{name}/test"], values[f"mi/fresh/{name}/error"]
        assert 0 < error < 0.1 and -0.15 < value - information < 3 * error, name


@pytest.mark.parametrize(
    "overrides, said",
    {
        "none given": ([], "run has no default"),
        "nowhere": (["run=nowhere"], "run=nowhere: no such folder"),
        "no run": (["run=."], "no checkpoint there"),
        "no umap": (["run={run}", "umap=true"], "pip install 'ssvae[umap]'"),
        "no steps": (["run={run}", "training.steps=0"], "training.steps must be at least 1"),
        "a critic without a layer's width": (["run={run}", "critic.hidden=[0]"], "critic.hidden must be layer widths"),
        "an estimator of entropies": (["run={run}", "+estimator@estimators.kde=kde"], "kde does not estimate I"),
    }.values(),
)
def test_bad_input_is_one_line_before_anything_is_read(overrides, said, finished, tmp_path, monkeypatch, capfd):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *of: None if name == "umap" else find(name, *of))
    monkeypatch.setattr(Evaluation, "__call__", lambda *_: pytest.fail("refused only after the metrics"))
    monkeypatch.chdir(tmp_path)
    assert said in refused(capfd, "eval", *(o.format(run=finished) for o in overrides))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_single_samples_are_shown_and_latents_by_umap_where_it_is_installed():
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(40, 3, generator=generator), torch.arange(40) % 2
    reading = SimpleNamespace(
        shape=(3,),
        data=SimpleNamespace(factors=(Factor("size"), Factor("kind", classes=2)), classes=("a", "b")),
        factors=lambda part: torch.stack([z[:, 0] + 0.1 * z[:, 1], y.float()], 1),
        codes=lambda part: z,
        latents=lambda part: (z,),
        labels=lambda part: y,
    )
    ((name, figure),) = examples(reading)
    (axis,) = figure.axes
    assert name == "factors" and axis.get_title() == "size" and len(axis.collections[0].get_offsets()) == 40
    truth, predicted = axis.collections[0].get_offsets().T
    assert np.corrcoef(truth, predicted)[0, 1] > 0.99
    pytest.importorskip("umap", reason="needs the extra ssvae[umap]")
    assert umap_plane(reading).axes[0].get_title() == "z of test by UMAP"


@pytest.mark.parametrize("parts", ["patches", "steps"])
def test_images_that_probes_read_in_parts_are_shown_whole_beside_their_neighbours(parts):
    x = torch.randint(256, (12, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    if parts == "steps":
        x = x[:, None].expand(12, 5, 1, 8, 8)
        pairs = Window(length=2, step=1, read="mean", then=Identity())
    else:
        pairs = Patches(grid=2, overlap=0.5, then=Identity())
    split = Split(x, y=torch.zeros(12, dtype=torch.int64))
    features = lambda part: x[:, -1].reshape(12, -1).float()
    reading = SimpleNamespace(shape=(1, 8, 8), pairs=pairs, data=Data(split, split, split), features=features)
    ((name, figure),) = examples(reading)
    shown = figure.axes[0].images[0].get_array()
    first = (x[0, 0] if parts == "patches" else x[0, 0, 0]) / 255
    assert name == "neighbours" and np.allclose(shown[:8, :8], first, atol=1e-6)
    assert parts == "patches" or np.allclose(shown[8:16, 8:16], first) and np.all(shown[8:16, 16:24] == 1)
