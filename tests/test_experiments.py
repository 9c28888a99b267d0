"""Presets: each runs, in the short form that its file names; those of claims bring sweeps, whose settings all fit."""

import itertools

import pytest
from omegaconf import DictConfig, OmegaConf

from helpers import make_folder, ssvae
from ssvae_cli.instantiate.groups import conf

CLAIMS = {path.stem: OmegaConf.load(path) for path in sorted((conf() / "experiment" / "claims").glob("*.yaml"))}
FEW = {"digits": ["dataset.limit=64"], "sprites": ["dataset.train=48", "dataset.validation=16", "dataset.test=16"]}
FEW |= {name: FEW["sprites"] for name in ("gaussian", "latents", "balls")}


ON_A_CPU = ["encoder=convnet", "trainer=default", "trainer.precision=float32"]


@pytest.mark.parametrize("preset, more", {"cifar10_speedrun": ON_A_CPU, "cifar10_cpu": []}.items())
def test_a_preset_for_cifar10_runs_in_a_short_form(preset, more, tmp_path):
    for parts, count in {("train",): 20, ("validation", "test"): 4}.items():
        make_folder(tmp_path / "images", parts=parts, count=count, size=(32, 32))
    short = ["encoder.backbone.width=8", "dataset.limit=32", "trainer.epochs=1", "trainer.batch_size=16", *more]
    own = ["dataset=folder", f"dataset.root={tmp_path}/images", "trainer.device=cpu", "evaluation=quick"]
    assert ssvae("train", f"experiment={preset}", *short, *own, f"hydra.run.dir={tmp_path}/run") == 0
    assert (tmp_path / "run" / "summary.json").exists()


def presets(claim: str) -> list[DictConfig]:
    """A claim's, and those below it that it names."""
    preset = CLAIMS[claim]
    names = [each for each in preset.get("defaults", []) if isinstance(each, str)]
    below = [name.removeprefix("/experiment/claims/") for name in names]
    return [preset, *itertools.chain(*map(presets, below))]


def settings(claim: str) -> list[list[str]]:
    """The overrides of a claim's sweep, seed 0 alone, that of the presets below it among them."""
    params = {}
    for preset in presets(claim):
        params = dict(preset.hydra.sweeper.params) | params
    params = {key: str(values).split(",") for key, values in params.items() if key != "seed"}
    return [[f"{key}={value}" for key, value in zip(params, job)] for job in itertools.product(*params.values())]


@pytest.mark.parametrize("below", ["claims/reconstruct_or_not_vae", "methods/cpc_multi"])
def test_a_preset_of_ones_own_stands_on_one_of_ours(below, tmp_path, capfd):
    """Also on one that stands on another, which is therefore named by its whole place."""
    (tmp_path / "experiment").mkdir()
    head = "# @package _global_\ndefaults:\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(f"{head}  - {below}\ntrainer:\n  epochs: 3\n")
    printed = []
    for words in (["--config-dir", str(tmp_path), "experiment=mine"], [f"experiment={below}", "trainer.epochs=3"]):
        assert ssvae("train", *words, "evaluation=none", "--cfg", "job") == 0
        printed.append(capfd.readouterr().out)
    assert printed[0] == printed[1]


def dataset_of(claim: str) -> str:
    words = str(list(map(OmegaConf.to_container, presets(claim))))
    return next((name for name in FEW if f".dataset': '{name}'" in words), "digits")


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claims_first_and_last_setting_train(claim, tmp_path):
    """Two steps of each: the rest is what all runs share."""
    short = ["trainer.batch_size=24", "trainer.epochs=1", "trainer.device=cpu", "evaluation=none"]
    jobs = settings(claim)
    for place in (0, -1):
        own = [word for word in jobs[place] if not word.startswith("trainer.batch_size=")]
        given = [
            f"experiment=claims/{claim}",
            *own,
            *FEW[dataset_of(claim)],
            *short,
            f"hydra.run.dir={tmp_path}/{place}",
        ]
        assert ssvae("train", *given) == 0, own
        assert (tmp_path / str(place) / "encoder.safetensors").exists()
