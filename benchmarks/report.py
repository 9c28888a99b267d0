"""How long a report of many runs takes: copies of one finished run, of other seeds and settings and with numbers moved.

    python benchmarks/report.py RUN --settings 50 --seeds 4

RUN's folder is copied into a temporary one; what differs between copies is the seed, the learning rate and each number
of summary.json, by a few per cent. Prints the seconds from the command to the page, and of processor time."""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from omegaconf import OmegaConf


def copy(run: Path, to: Path, setting: int, seed: int) -> None:
    """One more run, of another learning rate and another seed."""
    shutil.copytree(run, to, ignore=shutil.ignore_patterns("checkpoints", "*.safetensors", "events.*"))
    draw = random.Random(1000 * setting + seed)
    config = OmegaConf.load(to / ".hydra/config.yaml")
    config.seed, config.optimizer.lr = seed, 1e-4 * (setting + 1)
    OmegaConf.save(config, to / ".hydra/config.yaml")
    OmegaConf.save([f"optimizer.lr={config.optimizer.lr}", f"seed={seed}"], to / ".hydra/overrides.yaml")
    summary = json.loads((to / "summary.json").read_text())
    moved = {
        key: value * (1 + 0.02 * draw.gauss(0, 1)) if isinstance(value, float) else value
        for key, value in summary.items()
    }
    (to / "summary.json").write_text(json.dumps(moved))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--settings", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for setting in range(given.settings):
            for seed in range(given.seeds):
                copy(given.run, Path(folder) / f"{setting}_{seed}", setting, seed)
        began, before = time.perf_counter(), os.times()
        command = [sys.executable, "-m", "ssvae_cli", "report", folder, f"hydra.run.dir={folder}/report"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds, after = time.perf_counter() - began, os.times()
        processor = sum(after[2:4]) - sum(before[2:4])
        page = Path(folder, "report/report.html").stat().st_size / 1e6
        count = given.settings * given.seeds
        print(f"{count} runs: {seconds:.1f} s, {processor:.1f} s of processor time, {page:.0f} MB")


if __name__ == "__main__":
    main()
