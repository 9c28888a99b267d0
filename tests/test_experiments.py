"""Presets: each runs, in the short form that its file names."""

import numpy as np
from PIL import Image

from helpers import ssvae


def test_the_cifar10_speedrun_runs_in_its_short_form(tmp_path):
    pixels = np.random.default_rng(0)
    for split, count in {"train": 20, "validation": 4, "test": 4}.items():
        for kind in ("cat", "dog"):
            (tmp_path / "images" / split / kind).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(pixels.integers(256, size=(32, 32, 3), dtype=np.uint8))
                image.save(tmp_path / "images" / split / kind / f"{i}.png")
    short = ["encoder=convnet", "encoder.backbone.width=8", "dataset.limit=32", "trainer=default", "trainer.epochs=1"]
    own = ["dataset=folder", f"dataset.root={tmp_path}/images", "trainer.batch_size=16", "trainer.device=cpu"]
    assert ssvae("train", "experiment=cifar10_speedrun", *short, *own, f"hydra.run.dir={tmp_path}/run") == 0
    assert (tmp_path / "run" / "summary.json").exists()
