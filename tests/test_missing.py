"""What cannot be estimated is a Missing with its reason, never NaN, and no warning of torch or numpy."""

import copy
import json
import math
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import SHORT_FITS, composed
from ssvae_cli.datasets import Data, Split
from ssvae_cli.datasets.base import Factor
from ssvae_cli.errors import PartError
from ssvae_cli.evaluation import Evaluation
from ssvae_cli.instantiate.build import build
from ssvae_cli.objective import make_objective
from ssvae_cli.pairs.base import make_pairs
from ssvae_cli.tracking.missing import REASONS, Missing, lines, reasons
from ssvae_cli.tracking.record import write_summary

SETTINGS = ["dataset=npz", "dataset.path=x", "pairs=noise", "encoder=mlp", "encoder.backbone.hidden=[8]"]
SETTINGS += ["encoder.latent_dim=3", "encoder.projector=[]", *SHORT_FITS]
SETTINGS += ["evaluation.fitting_pairs=40", "pairs.std=1e-12"]
PROBES = {"probe/linear/test", "probe/knn/test", "probe/linear/random_init", "probe/linear/pixels"}
FACTORS = {"factors/r2/test", "factors/r2_z/test", "factors/mcc/test"}
RESIDUAL = {"eq23/residual", "eq23/residual_in_errors"}


def make_data(kind: str) -> Data:
    generator = torch.Generator().manual_seed(0)
    sizes = {"train": 40, "validation": 12, "test": 12}
    if kind.endswith(" row"):
        sizes[kind.split()[1]] = 1
    splits = []
    for name, count in sizes.items():
        x, y = torch.randn(count, 6, generator=generator), torch.arange(count) % 3
        factors = torch.stack([x[:, 0], (torch.arange(count) % 2).float(), x[:, 1]], 1)
        if kind == "constant x":
            x = torch.ones_like(x)
        if kind == "one class":
            y[:] = 0
        if kind == "one label":
            y[:] = -1
            y[0] = 1
        if kind == "one test class" and name == "test":
            y[:] = 0
        if kind == "a label each":
            y = torch.arange(count) + 40 * len(splits)
        if kind == f"a class that {name} lacks":
            y %= 2
        if kind == "constant factors":
            factors[:] = 1
        splits.append(Split(x, y, factors=factors))
    classes = tuple(map(str, range(120))) if kind == "a label each" else ("cat", "dog", "emu")
    return Data(*splits, classes=classes, factors=(Factor("u"), Factor("v", 2), Factor("w")))


def read(kind: str, *overrides: str) -> dict:
    """The numbers of all metrics, on validation and test, of an encoder at its start."""
    data, cfg = make_data(kind), composed(*SETTINGS, *overrides)
    pairs = make_pairs(cfg.pairs, data)
    evaluation, objective = build(cfg.evaluation, "evaluation"), make_objective(cfg, *pairs.shapes(data))
    reading = evaluation.reading(objective, pairs, data, copy.deepcopy(objective))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = evaluation(reading, "validation") | evaluation(reading, "test")
    assert all(math.isfinite(v) for v in values.values() if isinstance(v, float))
    return values


CASES = {
    "constant x": {"kl/test": "z is constant", "mi/fresh/test": "z is constant"} | dict.fromkeys(RESIDUAL, "constant"),
    "one test row": dict.fromkeys(["elbo/test", "mi/infonce/test", "mi/fresh/test", *RESIDUAL], "test has 1 row")
    | {"geometry/rank/test": "one row", "geometry/uniformity/test": "one row"}
    | dict.fromkeys(PROBES, "a single label")
    | dict.fromkeys(FACTORS, "constant on test"),
    "one validation row": {"elbo/validation": "validation has 1 row", "probe/knn/validation": "a single label"},
    "one class": dict.fromkeys(PROBES | {"probe/linear/validation"}, "40 labels of one class"),
    "one label": dict.fromkeys(PROBES, "a single label"),
    "a label each": dict.fromkeys(PROBES | {"probe/linear/validation"}, "and they share none"),
    "one test class": dict.fromkeys(PROBES, "12 labels of one class"),
    "constant factors": dict.fromkeys(FACTORS, "factor u is constant") | {"factors/accuracy/test": "factor v"},
}


@pytest.mark.parametrize("kind", CASES)
def test_a_number_without_an_estimate_is_missing_with_its_reason(kind):
    why = reasons(read(kind))
    for name, reason in CASES[kind].items():
        assert reason in why[name], name
    assert kind != "one test class" or "probe/linear/validation" not in why


def test_all_is_estimated_from_sound_data():
    assert reasons(read("sound", "pairs.std=0.1")) == {}


@pytest.mark.parametrize("prior", ["mi", "gaussian", "vmf", "unstructured_normal"])
def test_a_collapsed_encoder_is_told_of_under_every_kind_of_prior(prior):
    delta = ["posterior=deterministic", "estimator=kde"] if prior.startswith("unstructured") else []
    values = read("constant x", f"prior={prior}", *delta)
    assert "constant" in values["eq23/residual"].reason
    assert isinstance(values["elbo/test"], Missing) == (prior != "mi")
    assert values["kl/test"] == 0.0 if prior == "mi" else "H(z) = -inf" in values["kl/test"].reason


@pytest.mark.parametrize(
    "lacking, said",
    [
        ("test", "test has no label of the class emu: accuracy on test says nothing of it"),
        ("train", "train has no label of the class emu: each of its samples in test counts as an error"),
    ],
)
def test_a_class_that_one_split_lacks_is_named_with_what_that_makes_of_an_accuracy(lacking, said, caplog):
    with caplog.at_level("INFO"):
        correct = read(f"a class that {lacking} lacks", "pairs.std=0.1")["probe/linear/test"]
    assert said in caplog.text and 0 <= correct <= (2 / 3 if lacking == "train" else 1)


NOTHING_READ = SimpleNamespace(objective=torch.nn.Identity(), is_written_to=lambda: False)


@pytest.mark.parametrize("number, given", [(math.nan, "nan"), (-math.inf, "-inf"), (10**400, "1.*0")])
def test_a_number_of_ones_own_metric_that_is_not_finite_names_the_metric(number, given):
    metrics = {"own": lambda reading, split: {f"own/{split}": number}}
    values = Evaluation(metrics=metrics, fitting_pairs=1, density=None)(NOTHING_READ, "test")
    assert re.fullmatch(f"evaluation.metrics.own gave {given}", values["own/test"].reason)


@pytest.mark.parametrize(
    "number",
    [np.float32(0.5), np.float16(0.5), np.array(0.5), torch.tensor(0.5), np.int64(3), torch.tensor(3), 0.5, True],
)
def test_a_number_of_ones_own_metric_may_be_of_numpy_or_of_torch(number, tmp_path):
    metrics = {"own": lambda reading, split: {f"own/{split}": number}}
    evaluation = Evaluation(metrics=metrics, fitting_pairs=1, density=None)
    values = evaluation(NOTHING_READ, "test")
    write_summary(tmp_path, values | {"data/mi_true": number})
    expected = 0.5 if number == 0.5 else 1 if number is True else 3
    assert (tmp_path / "summary.json").read_text().split() == [
        "{",
        '"own/test":',
        f"{expected},",
        '"data/mi_true":',
        f"{expected}",
        "}",
    ]


def test_a_name_that_validation_and_test_would_share_is_refused():
    evaluation = Evaluation(metrics={"own": lambda reading, split: {"own": 1.0}}, fitting_pairs=1, density=None)
    with pytest.raises(PartError, match="'own', a name that test would share"):
        evaluation(NOTHING_READ, "validation")


def test_the_summary_has_null_and_the_reason_lies_beside_it(tmp_path, caplog):
    with caplog.at_level("INFO"):
        write_summary(tmp_path, {"kl/test": Missing("why"), "mi/fresh/test": Missing("why"), "elbo/test": 1.0})
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "kl/test": None,
        "mi/fresh/test": None,
        "elbo/test": 1.0,
    }
    assert json.loads((tmp_path / REASONS).read_text()) == {"kl/test": "why", "mi/fresh/test": "why"}
    assert caplog.messages == lines({"kl/test": "why", "mi/fresh/test": "why"}) == ["– kl/test, mi/fresh/test: why"]
