"""What several tests share: the command with short fits, in this process or as a script of its own, and tiny runs."""

import json
import logging
import math
import sys
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor

from ssvae_cli.cli import main as cli
from ssvae_cli.datasets.base import CONTRACT, Data
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.groups import conf

TINY = ["trainer.epochs=2", "trainer.eval_every=1", "trainer.batch_size=400", "trainer.device=cpu"]
TINY += ["encoder.backbone.width=8"]
PENALTY = "evaluation.metrics.probe.penalties=[0.1]"  # one fit of the probe, and not four
SHORT_FITS = [  # a few steps on few samples, for runs whose numbers no test is about
    "evaluation.fitting_pairs=500",
    "evaluation.density.training.steps=5",
    "evaluation.density.clusters=[4]",
    "evaluation.metrics.eq23.classifier.steps=5",
    "evaluation.metrics.eq23.critic_fit.steps=5",
    "evaluation.metrics.eq23.samples=500",
    "evaluation.metrics.few_labels=null",
    PENALTY,
]
FILE_RUN = ["trainer.epochs=1", "trainer.device=cpu", "trainer.batch_size=32", PENALTY]  # on a small file of data
SHARED = Path(__file__).parents[2] / "shared" / "data"


def ssvae(*arguments: str) -> int:
    """Run `ssvae ARGUMENTS` in this process, the fits of a new run short; its exit code."""
    GlobalHydra.instance().clear()
    begins = arguments[:1] == ("train",) and not any("resume=" in argument for argument in arguments)
    fits = SHORT_FITS if begins and "evaluation=none" not in arguments and "evaluation=quick" not in arguments else []
    before, sys.argv = sys.argv, ["ssvae", *arguments, *fits]
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
        GlobalHydra.instance().clear()
        for handler in logging.getLogger().handlers[:]:  # Hydra's, whose folder may be gone at the next line
            if isinstance(handler, logging.FileHandler):
                logging.getLogger().removeHandler(handler)
                handler.close()
    return 0


def train(run: Path, *overrides: str) -> dict:
    """A tiny run in the folder `run`; its summary."""
    tiny = [word for word in TINY if "evaluation=none" not in overrides or not word.startswith("trainer.eval_every")]
    assert ssvae("train", *tiny, *overrides, f"hydra.run.dir={run}") == 0
    return json.loads((run / "summary.json").read_text())


def refused(capfd, *arguments: str) -> str:
    """The one line with which `ssvae ARGUMENTS` is refused."""
    capfd.readouterr()
    assert ssvae(*arguments) == 2
    out, err = capfd.readouterr()
    (line,) = err.strip().splitlines()
    assert out == "" and line.startswith("ssvae: ")
    return line


def make_folder(root, classes=("cat", "dog"), parts=("train", "test"), count=6, size=(8, 8), mode="RGB", kind="png"):
    """A folder-per-class tree of small random images."""
    rng = np.random.default_rng(0)
    for part in parts:
        for name in classes:
            (root / part / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / part / name / f"{i}.{kind}")
    return root


def composed(*overrides: str, command: str = "train") -> DictConfig:
    """The configuration of a command."""
    GlobalHydra.instance().clear()
    with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
        return compose(command, overrides=list(overrides))


def read_data(dataset: str, path, *overrides: str, fitted: dict | None = None) -> Data:
    """A data set as its YAML file and the overrides build it."""
    config = OmegaConf.load(conf() / "dataset" / f"{dataset}.yaml")
    del config["defaults"]
    given = [override.removeprefix("dataset.") for override in (f"path={path}", *overrides)]
    return build(OmegaConf.merge(config, OmegaConf.from_dotlist(given)), "dataset", CONTRACT, fitted=fitted or {})


def normal_pairs(count: int, dim: int, rho: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(z, z'), [count, dim] each, float64: standard normal, each coordinate correlated with its partner."""
    z, e = torch.randn(2, count, dim, generator=generator, dtype=torch.float64)
    return z, rho * z + math.sqrt(1 - rho**2) * e


if __name__ == "__main__":
    sys.exit(ssvae(*sys.argv[1:]))
