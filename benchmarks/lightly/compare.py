"""ssvae and lightly in turn, three runs each, on one machine; medians of images a second, all runs kept.

usage: compare.py LIGHTLY_PYTHON IMAGES OUT.json     (run with ssvae's own interpreter; IMAGES has train/ and test/)
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES, EPOCHS, RUNS = 5120, 2, 3
HERE = Path(__file__).parent


def lightly(python: str, folder: str) -> dict:
    """Images a second over the last epoch, workers started."""
    command = [python, str(HERE / "simclr.py"), f"{folder}/train", str(IMAGES), str(EPOCHS)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    found = json.loads(subprocess.check_output(command, text=True, env=environment).splitlines()[-1])
    print("lightly", found, flush=True)
    return found


def ssvae(folder: str) -> dict:
    """The whole of its training, first steps included, as `ssvae train` reports it."""
    with tempfile.TemporaryDirectory() as run:
        command = [sys.executable, "-m", "ssvae_cli", "train", "dataset=folder", f"dataset.root={folder}"]
        command += ["dataset.size=32", f"dataset.limit={IMAGES}", "pairs=natural", "encoder=convnet"]
        command += [f"trainer.epochs={EPOCHS}", f"trainer.eval_every={EPOCHS}", "trainer.batch_size=512"]
        command += ["trainer.precision=bf16", "trainer.device=cpu", f"hydra.run.dir={run}/run"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        summary = json.loads((Path(run) / "run" / "summary.json").read_text())
    print("ssvae", summary["throughput/images_per_s"], flush=True)
    return {"images_per_s": summary["throughput/images_per_s"]}


def main(python: str, folder: str, out: str) -> None:
    runs = {"lightly": [], "ssvae": []}
    for _ in range(RUNS):
        runs["lightly"].append(lightly(python, folder))
        runs["ssvae"].append(ssvae(folder))
    medians = {
        "lightly": statistics.median(run["images_per_s"][-1] for run in runs["lightly"]),
        "ssvae": statistics.median(run["images_per_s"] for run in runs["ssvae"]),
    }
    found = {"runs": runs, "medians": medians, "ratio": medians["ssvae"] / medians["lightly"]}
    Path(out).write_text(json.dumps(found, indent=1) + "\n")
    print(medians, found["ratio"])


if __name__ == "__main__":
    main(*sys.argv[1:])
