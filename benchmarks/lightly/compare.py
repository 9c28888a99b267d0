"""ssvae and lightly in turn, three runs each, on one machine; medians of the last epoch, all runs kept.

usage: compare.py LIGHTLY_PYTHON FOLDER OUT.json [ENCODER PRECISION IMAGES]     (with ssvae's own interpreter)
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import torch

RUNS, EPOCHS = 3, 2  # the first epoch starts workers and fills caches
HERE = Path(__file__).parent


def main(lightly: str, folder: str, out: str, encoder="convnet", precision="bf16", images="3072") -> None:
    sides = {"lightly": (lightly, "simclr.py"), "ssvae": (sys.executable, "ours.py")}
    runs = {side: [] for side in sides}
    for _ in range(RUNS):
        for side, (python, script) in sides.items():
            command = [python, str(HERE / script), folder, images, str(EPOCHS), encoder, precision]
            found = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
            runs[side].append(found)
            print(side, found, flush=True)
    medians = {side: median(found) for side, found in runs.items()}
    ratios = {key: medians["ssvae"][key] / medians["lightly"][key] for key in medians["ssvae"]}
    recipe = {"encoder": encoder, "precision": precision, "images": int(images), "torch": torch.__version__}
    values = {**recipe, "runs": runs, "medians": medians, "ratios": ratios}
    Path(out).write_text(json.dumps(values, indent=1) + "\n")
    print(medians, ratios)


def median(runs: list[dict]) -> dict[str, float]:
    """Over runs, of each number; of a list the last, which is the last epoch's."""
    last = [{key: value[-1] if isinstance(value, list) else value for key, value in run.items()} for run in runs]
    return {key: statistics.median(run[key] for run in last) for key in last[0]}


if __name__ == "__main__":
    main(*sys.argv[1:])
