"""How often the intervals of the ELBO, of I and of KL hold the truth, on latents whose densities are known.

    python benchmarks/reading/coverage.py --cases normal warp --dims 2 16 --counts 400 4000 --seeds 2 --out coverage.csv

Train and test have `count` pairs each, validation a quarter of it, at least 100. The settings are the defaults,
conf/bases/evaluation.yaml. A row is a quantity of one case, dimension, count and seed; the truth is the mean over a
million other pairs. An interval is the value and 1.96 of its errors to each side.
"""

import argparse
import csv
import sys
import time
from functools import cache
from pathlib import Path
from statistics import fmean

import torch
from cases import CASES
from omegaconf import OmegaConf

from ssvae_cli.evaluation.densities import Densities
from ssvae_cli.evaluation.estimate import Z95
from ssvae_cli.evaluation.explicit import Explicit
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.tracking.missing import Missing

COLUMNS = ["case", "dim", "count", "seed", "quantity", "truth", "value", "error", "low", "high", "holds", "seconds"]


@cache
def truth_of(name: str, dim: int) -> dict[str, float]:
    """The ELBO, I and KL of a case, in nats, with errors far below those of readings."""
    case, generator = CASES[name](dim), torch.Generator().manual_seed(2**31)
    parts = [case.truth(case.sample(50_000, generator)) for _ in range(20)]
    return {quantity: fmean(part[quantity] for part in parts) for quantity in parts[0]}


def read(name: str, dim: int, count: int, seed: int) -> list[dict]:
    """The rows of one cell."""
    began, case = time.perf_counter(), CASES[name](dim)
    generator = torch.Generator().manual_seed(1000 * seed + list(CASES).index(name))  # no two cases share their draws
    splits = [case.sample(n, generator) for n in (count, max(100, count // 4), count)]
    truth = truth_of(name, dim)
    fit = build(OmegaConf.load(conf() / "bases" / "evaluation.yaml").density, "density")
    explicit = Explicit(case.prior.float(), splits[2], Densities(fit, case.prior.space, *splits, count))
    read = {"elbo": explicit.elbo(), "mi": explicit.information(), "kl": explicit.divergence()}
    rows = []
    for quantity, found in read.items():
        numbers = [None if isinstance(number, Missing) else round(number, 4) for number in found]
        holds = numbers[0] is None or abs(numbers[0] - truth[quantity]) <= Z95 * numbers[1]
        values = [name, dim, count, seed, quantity, round(truth[quantity], 4), *numbers, holds]
        rows.append(dict(zip(COLUMNS, [*values, round(time.perf_counter() - began, 1)])))
    return rows


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--dims", nargs="+", type=int, default=[2, 8, 16, 64])
    parser.add_argument("--counts", nargs="+", type=int, default=[400, 4000, 40_000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("coverage.csv"))
    options = parser.parse_args(argv)
    cells = [
        (n, d, c, s) for s in range(options.seeds) for d in options.dims for c in options.counts for n in options.cases
    ]
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        rows = []
        for cell in cells:
            rows += (found := read(*cell))
            writer.writerows(found)
            file.flush()
            print(*cell, *(f"{r['quantity']} {r['value']} +- {r['error']} of {r['truth']}" for r in found), flush=True)
    summarise(rows)


def summarise(rows: list[dict]) -> None:
    """Of each quantity, how many intervals there are, how many hold the truth, and how many numbers are missing."""
    for quantity in ("elbo", "mi", "kl"):
        of = [row for row in rows if row["quantity"] == quantity]
        given = [row for row in of if row["value"] is not None]
        print(
            f"{quantity}: {sum(row['holds'] for row in given)} of {len(given)} intervals, {len(of) - len(given)} null"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
