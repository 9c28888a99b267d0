"""A hint in an error line is right, or there is none."""

import re
import shlex

import pytest
from omegaconf import OmegaConf

from helpers import composed, refused
from ssvae_cli.cli.other_words import HINT_OF, KEYS
from ssvae_cli.cli.suggestions import key_meant, setting_meant, unknown_choice, unknown_key
from ssvae_cli.errors import nearest
from ssvae_cli.instantiate.groups import choices


@pytest.fixture(scope="module")
def config():
    return composed("posterior=gaussian")


@pytest.fixture(scope="module")
def window():
    return composed("pairs=window")


@pytest.mark.parametrize(
    "wrong, meant",
    [
        ("prior.temperature", "prior.critic.temperature"),  # one level down
        ("temperature", "prior.critic.temperature"),
        ("prior.critc.temperature", "prior.critic.temperature"),
        ("lr", "optimizer.lr"),
        ("trainer.lr", "optimizer.lr"),
        ("optimizer.epochs", "trainer.epochs"),
        ("device", "trainer.device"),  # not decoder, which is spelt like it
        ("prior.latent_dim", "encoder.latent_dim"),
        ("optimizer.weightdecay", "optimizer.weight_decay"),
        ("sed", "seed"),
        ("Trainer.Epochs", "trainer"),  # whatever the case
        ("trainr.epochs", "trainer.epochs"),
        ("gpu", "trainer.device"),
        ("max_epochs", "trainer.epochs"),
        ("out", "hydra.run.dir"),
        ("trainer.epoch", "trainer.epochs"),
        ("evaluation.metrics.nope.k", None),  # of several
        ("posterior.std", None),  # least_std or largest_std, and not that of the pairs
        ("prior.critic.learn", "prior.critic.learn_temperature"),
        ("encoder.backbone.architecture", None),  # not encoder, in which it was looked for
        ("steps", None),
        ("prior.step", None),
        ("name", None),
    ],
)
def test_the_key_that_was_meant(wrong, meant, config):
    assert key_meant(wrong, config) == meant


def test_the_views_of_a_window_are_its_length(window):
    assert key_meant("pairs.views", window) == "pairs.length"


@pytest.mark.parametrize(
    "given, hint",
    [
        ("encoder=resnet50", "torchvision's is encoder=torchvision encoder.backbone.name=resnet50"),
        ("encoder=ResNet-50", "torchvision's is encoder=torchvision encoder.backbone.name=resnet50"),
        ("encoder=vit", "torchvision's is encoder=torchvision encoder.backbone.name=vit_b_16"),
        ("encoder=resnet", "did you mean 'resnet18'?"),
        ("encoder=bilinear", "bilinear is a choice of prior/critic: prior/critic=bilinear"),
        ("encoder=perceiver_io", ""),
        ("encoder_prime=mlp", "an encoder of another kind is encoder@encoder_prime=mlp"),
        ("prior=simclr", "that method is experiment=methods/simclr"),
        ("estimator=SimCLR", "that method is experiment=methods/simclr"),
        ("prior=byol", "that method is experiment=methods/byol"),
        ("experiment=byol", "that method is experiment=methods/byol"),
        ("estimator=barlow-twins", "that method is experiment=methods/barlow_twins"),
        ("prior=dino", "dino is not offered: docs/methods.md"),
        ("prior=nwj", "nwj is a choice of estimator: estimator=nwj"),
        ("estimator=mi", "mi is a choice of prior: prior=mi"),  # and not mine
        ("pairs=steps", "steps of a sequence are pairs=window or pairs=context"),
        ("prior=infonc", "did you mean 'infonce'?"),
        ("optimizer=adam", "Adam is optimizer=adamw optimizer.weight_decay=0"),
        ("optimizer=lamb", ""),
        ("dataset=imagenet", "folders of images are dataset=folder dataset.root=PATH"),  # and not latents
        ("dataset=cifar", "did you mean 'cifar10'?"),
        ("dataset=my photos", "a file or folder of your own is dataset=folder 'dataset.root=my photos'"),
        ("dataset=a=b.npz", "a file or folder of your own is dataset=npz dataset.path=a=b.npz"),
    ],
)
def test_the_choice_that_was_meant(given, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    (tmp_path / "a=b.npz").touch()
    group, choice = given.split("=", 1)
    listed = choices(group)
    ending = f"; {hint}" if hint else ""
    said = unknown_choice(group, choice, listed, [])
    assert said == f"{given} is not a choice; allowed: {', '.join(listed)}{ending}"


@pytest.mark.parametrize(
    "wrong, others, said",
    [
        ("hydra.run.dri", [], "allowed: hydra.run.dir; did you mean 'hydra.run.dir'?"),
        ("hydra/luncher", [], "did you mean 'hydra/launcher'?"),
        ("hydra.launcher.n_jobs", [], "those are the keys of hydra/launcher=basic, and other choices have others"),
        ("hydra.launcher.n_job", ["hydra/launcher=joblib"], "did you mean 'hydra.launcher.n_jobs'?"),
        ("hydra.job.env_set.A", [], "allowed: none; a new one is +hydra.job.env_set.A=..."),
    ],
)
def test_a_setting_of_hydra_that_is_not_there_is_looked_for_among_hydras(wrong, others, said):
    line = unknown_key(wrong, "train", [f"{wrong}=2", *others])
    assert line.startswith(f"unknown key {wrong}; allowed: ") and line.endswith(said) and "dataset" not in line


@pytest.mark.parametrize(
    "option, value, meant",
    [
        ("--epochs", "10", "a setting has no dashes: trainer.epochs=10"),
        ("--batch-size", "32", "a setting has no dashes: trainer.batch_size=32"),
        ("--prior", "mi", "a setting has no dashes: prior=mi"),
        ("--lr", "0.1", "a setting has no dashes: optimizer.lr=0.1"),
        ("--mulltirun", "", "ssvae train --help shows every one; did you mean '--multirun'?"),
        ("--verbose", "", "ssvae train --help shows every one"),
        ("-x", "", "ssvae train --help shows every one"),
    ],
)
def test_an_option_that_is_a_setting(option, value, meant):
    assert setting_meant("train", option, value, ["--multirun", "-m", "--version", "--run"]).endswith(f"; {meant}")


@pytest.mark.parametrize("hint", sorted({h for h in HINT_OF.values() if "=" in h and "experiment=" not in h}))
def test_what_a_hint_names_can_be_composed(hint):
    words = [word.strip(",") for word in hint.split() if re.fullmatch(r"[a-z./]+=\S+", word)]
    composed(*words)


def test_every_preset_that_a_hint_names_is_one():
    named = {preset for hint in HINT_OF.values() for preset in re.findall(r"experiment=(\S+)", hint)}
    assert named and named <= set(choices("experiment"))


@pytest.mark.parametrize("word, name", [("bfloat16", "bf16"), ("BF16", "bf16"), ("fp64", "float64"), ("int8", None)])
def test_a_value_by_another_programs_name(word, name):
    assert nearest(word, ["float32", "float64", "bf16", "auto"]) == name


def test_every_key_of_another_name_is_a_key(config, window):
    for key in KEYS:
        of = window if key == "pairs.length" else config
        assert key == "hydra.run.dir" or key in of or OmegaConf.select(of, key) is not None, key


@pytest.mark.parametrize(
    "command_line, said",
    [
        ("train --epochs 10", "unknown option --epochs; a setting has no dashes: trainer.epochs=10"),
        (
            "train dataset.path=x.npz",
            "allowed: dataset.limit; these have it: anndata, huggingface, npz, paired, sequences, table",
        ),
        ("prior=mi", "the command comes first, as in ssvae train prior=infonce"),
        ("eval run=RUN encoder=mlp", "encoder=mlp: ssvae eval reads the run's own encoder; leave it out"),
        ("embed run=RUN pairs.strength=2", "pairs.strength=2: ssvae embed reads the run's own pairs; leave it out"),
        ("eval run=RUN dataset=digits optimizer.lr=1", "optimizer.lr=1: ssvae eval trains the encoder no further;"),
        ("embed run=RUN trainer=gpu", "trainer=gpu: ssvae embed trains the encoder no further; leave it out"),
        ("finetune run=RUN trainer.epochs=2", "ssvae finetune has its own epochs, batch_size and device; leave it"),
        ("finetune run=RUN +encoder/frame=mlp", "ssvae finetune reads the run's own encoder; leave it out"),
        ("train experiment=methods/byol encoder_prime=shared hydra.run.dir=RUN", "another choice of encoder_prime"),
    ],
)
def test_the_whole_line(command_line, said, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused(capfd, *shlex.split(command_line))
