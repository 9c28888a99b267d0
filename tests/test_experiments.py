"""Presets: each runs, in the short form that its file names."""

from helpers import make_folder, ssvae


def test_the_cifar10_speedrun_runs_in_its_short_form(tmp_path):
    for parts, count in {("train",): 20, ("validation", "test"): 4}.items():
        make_folder(tmp_path / "images", parts=parts, count=count, size=(32, 32))
    short = ["encoder=convnet", "encoder.backbone.width=8", "dataset.limit=32", "trainer=default", "trainer.epochs=1"]
    own = ["dataset=folder", f"dataset.root={tmp_path}/images", "trainer.batch_size=16", "trainer.device=cpu"]
    assert ssvae("train", "experiment=cifar10_speedrun", *short, *own, f"hydra.run.dir={tmp_path}/run") == 0
    assert (tmp_path / "run" / "summary.json").exists()
