"""`ssvae mi` on the bank: coverage.py run RESULTS.csv [PARTS [NUMBERS [SEEDS]]] | table RESULTS.csv [PEERS.csv].

`run` goes on where it stopped, a line a task, number of pairs and seed. What `ssvae mi` does by default, without its
shuffled pairs and with InfoNCE as the only critic; time series are split in blocks. `table` prints coverage, widths and
errors; PEERS.csv is of bank_peers.py.
"""

import csv
import sys
import time
import warnings
import zlib
from collections import defaultdict
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from hydra import compose, initialize_config_module
from late import TASKS

from ssvae_cli.instantiate.build import build
from ssvae_cli.mi.analysis import read
from ssvae_cli.mi.command import configured_methods
from ssvae_cli.mi.data import informative, pose, without_copies
from ssvae_cli.mi.recommend import recommend
from ssvae_cli.mi.tasks import Sample

FIELDS = ["task", "kind", "part", "n", "seed", "exact", "value", "low", "high", "seconds", "why"]


def draw(name: str, n: int, seed: int) -> Sample:
    """The pairs of a task, each side [N, d]."""
    sides = TASKS[name].draw(np.random.default_rng([seed, zlib.crc32(name.encode())]), n)
    return Sample(*(np.asarray(side, dtype=float).reshape(n, -1) for side in sides), None)


def estimate(name: str, n: int, seed: int):
    """What is recommended."""
    split = "blocks" if TASKS[name].kind == "time series" else "random"
    with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
        left_out = [f"~estimator@estimators.{other}" for other in ("nwj", "dv", "smile")]
        cfg = compose("mi", [f"split={split}", f"seed={seed}", *left_out])
    sample = without_copies(draw(name, n, seed))
    problem = pose(informative(sample.x, "x"), informative(sample.y, "y"), build(cfg.split, "split"), seed)
    return recommend(list(read(configured_methods(cfg, sample), problem, False, lambda _: None)), problem)


def run(path: Path, parts: set[str], numbers: list[int], seeds: list[int]) -> None:
    done = {(line["task"], line["n"], line["seed"]) for line in lines_of(path)} if path.exists() else set()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not done:
            writer.writeheader()
        for n in numbers:
            for seed in seeds:
                for name, task in TASKS.items():
                    if task.part not in parts or (name, str(n), str(seed)) in done:
                        continue
                    began = time.monotonic()
                    best = estimate(name, n, seed)
                    line = {"task": name, "kind": task.kind, "part": task.part, "n": n, "seed": seed}
                    line |= {"exact": task.exact(), **best._asdict(), "seconds": round(time.monotonic() - began, 1)}
                    writer.writerow(line)
                    file.flush()


def lines_of(path: Path) -> list[dict]:
    with path.open() as file:
        return list(csv.DictReader(file))


def table(path: Path, peers: Path | None) -> None:
    """Coverage, median width, mean absolute error and seconds, by part and n; then the tasks that were missed."""
    groups = defaultdict(list)
    for line in lines_of(path):
        value, low, high, exact = (float(line[key]) for key in ("value", "low", "high", "exact"))
        held = low - 1e-9 <= exact <= high + 1e-9
        groups[line["part"], int(line["n"])].append((held, high - low, abs(value - exact), float(line["seconds"])))
        if not held:
            print(f"missed: {line['task']} n={line['n']} seed={line['seed']}: {exact:.3f} not in {low:.3f}..{high:.3f}")
    print("\n| part | n | runs | inside | median width | mean absolute error | seconds |", "|---" * 7 + "|", sep="\n")
    for (part, n), values in sorted(groups.items()):
        held, widths, errors, seconds = zip(*values)
        row = [part, n, len(values), f"{mean(held):.0%}", f"{median(widths):.2f}", f"{mean(errors):.3f}"]
        print("| " + " | ".join(map(str, [*row, f"{median(seconds):.0f}"])) + " |")
    if peers:
        compare(path, peers)


def compare(path: Path, peers: Path) -> None:
    """Mean absolute error of each peer, and of ours on the runs where it gave a number."""
    ours = {(line["task"], line["n"], line["seed"]): float(line["value"]) for line in lines_of(path)}
    errors = defaultdict(list)
    for line in lines_of(peers):
        key, value, exact = (line["task"], line["n"], line["seed"]), float(line["value"]), float(line["exact"])
        if key in ours and np.isfinite(value):
            errors[line["peer"], int(line["n"])].append((abs(value - exact), abs(ours[key] - exact)))
    print("\n| peer | n | runs | its mean absolute error | that of `ssvae mi` |", "|---" * 5 + "|", sep="\n")
    for (peer, n), both in sorted(errors.items()):
        theirs, mine = (mean(side) for side in zip(*both))
        print(f"| {peer} | {n} | {len(both)} | {theirs:.3f} | {mine:.3f} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    command, results, *rest = sys.argv[1:]
    if command == "run":
        parts, numbers, seeds = [*rest, *["choose,check", "500,2000,10000", "0,1,2"][len(rest) :]]
        run(Path(results), set(parts.split(",")), [*map(int, numbers.split(","))], [*map(int, seeds.split(","))])
    else:
        table(Path(results), Path(rest[0]) if rest else None)
