"""Hold the ratios of `ssvae bench` to stored ones: never absolute times, which are a machine's.

usage: check.py STORED.json            bench each configuration again and compare; exit code 1 beyond 15%
       check.py STORED.json --write    bench and store
       check.py STORED.json --found FOUND.json    compare two files
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ALLOWED = 0.15  # that a ratio may fall
RATIOS = ("step/share_of_limit",)
CONFIGURATIONS = {"digits": ["trainer.precision=bf16", "trainer.device=cpu"]}


def measure(overrides: list[str]) -> dict[str, float]:
    """The ratios of one configuration."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ssvae_cli", "bench", *overrides, f"hydra.run.dir={folder}/bench"]
        subprocess.run(command, check=True, stdout=sys.stderr)
        found = json.loads((Path(folder) / "bench" / "bench.json").read_text())
    return {ratio: found[ratio] for ratio in RATIOS}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("stored", type=Path)
    parser.add_argument("--found", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.found:
        found = json.loads(arguments.found.read_text())
    else:
        found = {name: measure(overrides) for name, overrides in CONFIGURATIONS.items()}
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
