"""`ssvae finetune` chooses on validation and reads test once, of the weights that it saves."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from helpers import composed, refused, ssvae
from ssvae_cli.errors import UserError
from ssvae_cli.finetune import command


def test_a_classifier_is_trained_chosen_on_validation_and_saved(finished, tmp_path, monkeypatch):
    read, of_test = command.accuracy, []

    def counted(model, loaded, split):
        value = read(model, loaded, split)
        of_test.extend([value] if split is loaded.data.test else [])
        return value

    monkeypatch.setattr(command, "accuracy", counted)
    assert ssvae("finetune", str(finished), "epochs=3", "labels=0.3", f"hydra.run.dir={tmp_path}/out") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "out" / "finetune.jsonl").read_text().splitlines()]
    assert of_test == [summary["finetune/accuracy/test"]] and of_test[0] > 0.5
    assert summary["finetune/accuracy/validation"] == max(line["finetune/accuracy/validation"] for line in lines)
    after, before = load_file(tmp_path / "out" / "classifier.safetensors"), load_file(finished / "encoder.safetensors")
    assert after["head.weight"].shape[0] == 10
    with safe_open(tmp_path / "out" / "classifier.safetensors", "pt") as file:
        metadata = {name: json.loads(value) for name, value in file.metadata().items()}
    assert metadata["classes"] == [str(digit) for digit in range(10)] and metadata["input"]["shape"] == [1, 8, 8]
    assert not torch.equal(after["backbone.layers.0.weight"], before["backbone.layers.0.weight"])


@pytest.mark.parametrize(
    "word, said",
    [
        ("labels=0", "labels must be above 0, got 0"),
        ("epochs=none", "epochs must be an integer of at least 1, got 'none'"),
        ("batch_size=1", "batch_size must be an integer of at least 2, got 1"),
        ("encoder_lr=-1", "encoder_lr must be a number of at least 0, got -1"),
    ],
)
def test_settings_that_no_classifier_has_are_one_line(word, said):
    with pytest.raises(UserError, match=said):
        command.require_settings(composed(word, command="finetune"))


def test_rates_of_a_classifier_are_given_by_the_names_of_its_file(finished, tmp_path, capfd):
    still = "optimizer.groups={head.*:2.0,backbone.layers.0.*:0}"
    assert ssvae("finetune", str(finished), "epochs=3", "labels=0.3", still, f"hydra.run.dir={tmp_path}/out") == 0
    after, before = load_file(tmp_path / "out" / "classifier.safetensors"), load_file(finished / "encoder.safetensors")
    names = ("backbone.layers.0.weight", "backbone.layers.3.weight")
    assert [torch.equal(after[name], before[name]) for name in names] == [True, False]
    line = refused(capfd, "finetune", str(finished), "optimizer.groups={heat.*:2.0}")
    assert "no parameter is called heat.*; their names begin with backbone.layers, head.bias, head.weight" in line


def test_a_rate_of_a_prior_is_none_of_a_classifier(finished, capfd):
    line = refused(capfd, "finetune", str(finished), "optimizer.prior_lr=2")
    assert line == "ssvae: optimizer.prior_lr=2: a classifier has no prior; leave it out"


def test_a_loss_that_is_not_finite_is_a_line_and_none_of_the_curve(finished, tmp_path, capfd):
    assert ssvae("finetune", str(finished), "optimizer.lr=1e30", "epochs=2", f"hydra.run.dir={tmp_path}/out") == 2
    assert "training diverged: the loss is not finite" in capfd.readouterr().err.splitlines()[-1]
    assert "NaN" not in (tmp_path / "out" / "finetune.jsonl").read_text()


def test_data_without_labels_are_one_line(finished, tmp_path, capfd):
    np.savez(tmp_path / "plain.npz", x=np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8))
    words = [f"run={finished}", "dataset=npz", f"dataset.path={tmp_path}/plain.npz", f"hydra.run.dir={tmp_path}/out"]
    assert "finetune: accuracy needs labels of at least 2 classes" in refused(capfd, "finetune", *words)


def test_features_without_weights_get_a_head_alone(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    few = ["trainer.epochs=0", "trainer.device=cpu", "evaluation=none", "encoder=linear"]
    assert ssvae("train", *few, "hydra.run.dir=RUN") == 0
    line = refused(capfd, "finetune", "RUN", "epochs=1")
    assert line == "ssvae: run=RUN: its features have no weights to train; encoder_lr=0 trains a head on them"
    assert ssvae("finetune", "RUN", "epochs=1", "encoder_lr=0") == 0
    assert not (tmp_path / "out").exists()
