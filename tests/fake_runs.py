"""Folders of runs as `ssvae train` leaves them, without the training, and what a report makes of them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from ssvae_cli.report.runs import find_runs
from ssvae_cli.report.settings import newest_of_each_seed, sections_of
from ssvae_cli.report.tables import HIGHEST, main_table

METRICS = "metrics=[elbo/test,probe/linear/test,kl/test]"


def a_run(folder: Path, *overrides: str, epochs: int = 2, reasons: dict | None = None, **summary) -> Path:
    """A finished run of some overrides, `decoder=conv` and `prior=x` among them."""
    given = dict(override.split("=", 1) for override in overrides)
    choices = {"dataset": "digits", "prior": "infonce", "decoder": "implicit", "encoder": "convnet", "pairs": "affine"}
    choices["estimator"] = "infonce"
    choices = {group: given.get(group, choice) for group, choice in choices.items()}
    config = {group: {"_target_": f"{group}.{choice}"} for group, choice in choices.items()}
    config["decoder"] = None if choices["decoder"] == "implicit" else {"width": 8}
    config |= {"seed": int(given.get("seed", 0)), "trainer": {"epochs": epochs, "device": "cpu"}}
    for key in (key for key in given if "." in key and not key.startswith("trainer")):
        group, name = key.split(".")
        config[group] = config[group] | {name: given[key]}
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config))
    (folder / ".hydra" / "hydra.yaml").write_text(json.dumps({"hydra": {"runtime": {"choices": choices}}}))
    views = 1 if choices["prior"].startswith("unstructured") else 2
    read = {"elbo/test": 1.0, "probe/linear/test": 0.9, "kl/test": None}
    summary = {"views": views, "seed": config["seed"]} | read | summary
    elbo = summary["elbo/test"] or 0.0
    lines = [{"epoch": e, "step": e, "elbo/validation": elbo * e / epochs} for e in range(1, epochs + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "reasons.json").write_text(json.dumps(reasons or {}))
    (folder / "figures").mkdir()
    pixels = np.zeros((4, 8, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "figures" / "pairs.png")
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def a_sweep(folder: Path) -> Path:
    """Three priors by three seeds, of which two are within noise, and an ordinary VAE."""
    noise = {0: 0.0, 1: 0.1, 2: 0.3}
    means = {"infonce": 2.0, "<mi>": 2.5, "vmf": 2.49}
    for prior, mean in means.items():
        for seed in noise:
            elbo = mean + noise[seed] + (0.02 * seed if prior == "vmf" else 0.0)
            a_run(
                folder / f"{prior} {seed}", f"prior={prior}", f"seed={seed}", "trainer.epochs=2", **{"elbo/test": elbo}
            )
    a_run(folder / "vae", "decoder=conv", "trainer.epochs=2", **{"elbo/test": -90.0, "probe/linear/test": 0.8})
    return folder


def sections(*folders: Path):
    """(the sections of the runs below some folders, the runs that are left out)."""
    found, others = find_runs(list(folders))
    runs, repeated = newest_of_each_seed(found)
    return sections_of(runs), [*others, *repeated]


def table(section, metrics=("elbo/test",), **changes):
    """The main table of a section."""
    options = {"spread": "deviation", "confidence": 0.95, "ends": {"elbo": HIGHEST}} | changes
    return main_table(section, list(metrics), **options)
