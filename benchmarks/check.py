"""Hold the ratios of `ssvae bench` to stored ones: never absolute times, which are a machine's.

One thread, as threads that wait for one another turn a machine's other work into other ratios.

usage: check.py STORED.json            bench each configuration again and compare; exit code 1 beyond 15%
       check.py STORED.json --write    bench and store
       check.py STORED.json --found FOUND.json    compare two files
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ALLOWED = 0.15  # that a ratio may fall
STEP, OBJECTIVE, PAIRS = "step/share_of_limit", "objective/share_of_limit", "pairs/share_of_limit"
CONFIGURATIONS = {  # name: (overrides, the ratios that are held)
    "digits": ([], (STEP,)),
    "photographs": (["dataset=sprites", "pairs=simclr", "pairs.size=32", "trainer.batch_size=128"], (STEP, PAIRS)),
    "scores in tiles": (["encoder=mlp", "trainer.batch_size=4608"], (STEP, OBJECTIVE)),
}
SHORT = ["trainer.device=cpu", "bench.rounds=9", "bench.seconds=0.3"]


def measure(overrides: list[str], ratios: tuple[str, ...]) -> dict[str, float]:
    """Those ratios of one configuration."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ssvae_cli", "bench", *overrides, *SHORT, f"hydra.run.dir={folder}/bench"]
        subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | {"OMP_NUM_THREADS": "1"})
        found = json.loads((Path(folder) / "bench" / "bench.json").read_text())
    return {ratio: found[ratio] for ratio in ratios}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("stored", type=Path)
    parser.add_argument("--found", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.found:
        found = json.loads(arguments.found.read_text())
    else:
        found = {name: measure(*how) for name, how in CONFIGURATIONS.items()}
    if arguments.write:
        arguments.stored.write_text(json.dumps(found, indent=2) + "\n")
        return 0
    fallen = 0
    for name, ratios in json.loads(arguments.stored.read_text()).items():
        for ratio, before in ratios.items():
            now = found[name][ratio]
            worse = now < (1 - ALLOWED) * before
            fallen += worse
            print(f"{name}: {ratio} {before:.3f} stored, {now:.3f} now{'  FELL' if worse else ''}")
    return int(fallen > 0)


if __name__ == "__main__":
    sys.exit(main())
