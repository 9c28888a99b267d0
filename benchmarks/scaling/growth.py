"""Cost against batch size, latent dimension, negatives, images and processes: CPU seconds and peak memory.

One thread a process, and its own time: a machine's other work does not count. d = 128, float32, cosine critic.

usage: growth.py OUT.json            everything, each point in a process of its own, so that its peak memory is its own
       growth.py --point KIND N ...  one point, as a line of JSON
       growth.py --clock             table and tiles in turn at B = 4096, by the clock, all threads
"""

import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_module

from ssvae_cli.critics import Cosine
from ssvae_cli.datasets import order as orders
from ssvae_cli.datasets.base import Split
from ssvae_cli.device import peak as peak_bytes
from ssvae_cli.distributed.collectives import init_process_group, is_rank_zero, sharded
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.instantiate.build import build
from ssvae_cli.priors.infonce import InfoNCE as Prior
from ssvae_cli.priors.scored import Marginals
from ssvae_cli.scores import in_batch

CPU = torch.device("cpu")
POINTS = [
    *(("table", batch, 128) for batch in (1024, 2048, 4096, 8192)),
    *(("tiles", batch, 128) for batch in (1024, 2048, 4096, 8192, 16384, 32768)),
    *(("tiles", 4096, dim) for dim in (32, 64, 256, 512)),
    *(("negatives", past) for past in (4096, 8192, 16384, 32768, 65536)),
    *(("images", images) for images in (10_000, 100_000, 1_000_000)),
    *(("order", samples) for samples in (10**7, 10**8, 10**9)),
    *(("partition", sources) for sources in (4096, 16384, 65536)),
    *(("processes", count) for count in (2, 4, 8)),
]
FITS = {  # name: (kind, by, of)
    "seconds of tiles by batch": ("tiles", "batch", "cpu_seconds"),
    "seconds of tiles by latent dimension": ("tiles", "dim", "cpu_seconds"),
    "memory of tiles by batch": ("tiles", "batch", "mib"),
    "seconds by negatives": ("negatives", "past", "cpu_seconds"),
    "memory by negatives": ("negatives", "past", "mib"),
    "seconds of a step's views by images": ("images", "images", "cpu_seconds"),
    "seconds of an epoch's order by samples": ("order", "samples", "cpu_seconds"),
    "memory of an epoch's order by samples": ("order", "samples", "mib"),
    "memory by images": ("images", "images", "mib"),
    "seconds of test's partition by images": ("partition", "sources", "cpu_seconds"),
    "seconds of a process by processes": ("processes", "count", "cpu_seconds"),
}


def cost(step: Callable[[], object], times: int = 5) -> dict[str, float]:
    """The median CPU seconds of a few calls, and how far the first raised this process's peak memory."""
    before = peak_bytes(CPU)
    seconds, peak = [], 0
    while not seconds or (len(seconds) < times and sum(seconds) < 60):
        began = time.process_time()
        step()
        seconds.append(time.process_time() - began)
        peak = peak or peak_bytes(CPU) - before
    return {"cpu_seconds": statistics.median(seconds), "mib": peak / 2**20}


def objective(z, z_prime, past=None) -> Callable[[], None]:
    """Value and gradient of the symmetric InfoNCE objective."""
    prior = Prior(critic=Cosine(temperature=0.1), direction="both")

    def step():
        sides = [side.detach().requires_grad_() for side in (z, z_prime)]
        (
            sum(InfoNCE()(s) for s in in_batch.in_batch_scores(prior.critic, *sides, prior.direction, past)) / 2
        ).backward()

    return step


def form(batch: int, dim: int) -> dict:
    """A batch against itself."""
    objective(*torch.randn(2, 64, dim))()  # loads libraries
    z, z_prime = torch.randn(2, batch, dim)
    return {"batch": batch, "dim": dim} | cost(objective(z, z_prime))


def table(batch: int, dim: int) -> dict:
    in_batch.TILED_ABOVE = 10**12
    return form(batch, dim)


def tiles(batch: int, dim: int) -> dict:
    in_batch.TILED_ABOVE = 0
    return form(batch, dim)


def negatives(past: int) -> dict:
    """512 pairs against a bank of past ones besides."""
    in_batch.TILED_ABOVE = 0
    objective(*torch.randn(2, 64, 128))()
    z, z_prime = torch.randn(2, 512, 128)
    bank = torch.randn(2, past, 128)
    return {"past": past} | cost(objective(z, z_prime, tuple(bank)))


def images(images: int) -> dict:
    """Rows and views of one step, 256 of so many resident images of 28x28; the memory is the images' own."""
    before = peak_bytes(CPU)
    data = Split(torch.randint(256, (images, 1, 28, 28), dtype=torch.uint8), torch.zeros(images, dtype=torch.int64))
    held = (peak_bytes(CPU) - before) / 2**20
    with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
        pairs = build(compose("train").pairs, "pairs")
    noise, places = torch.Generator(), torch.randint(images, (10, 256))
    views = cost(lambda: [pairs(batch, noise) for batch in data.batches(256, places.flatten())])
    return {
        "images": images,
        "cpu_seconds": views["cpu_seconds"] / len(places),
        "mib": held,
    }


def order(samples: int) -> dict:
    """What an epoch of so many samples draws up to its first batch, and each later block of them."""
    orders.Order(1000, torch.Generator()).rows(0, 256)  # loads libraries
    found = cost(lambda: orders.Order(samples, torch.Generator().manual_seed(0)).rows(0, 256))
    drawn = orders.Order(samples, torch.Generator().manual_seed(0))
    ends = itertools.cycle([0, samples - 256])  # of two blocks, in turns
    block = cost(lambda: drawn.rows(end := next(ends), end + 256))
    return {"samples": samples, "block_seconds": block["cpu_seconds"]} | found


def partition(sources: int) -> dict:
    """The partition of `elbo/test`: 1024 anchors against fresh views of all sources, encoded."""
    z, z_prime = torch.randn(2, 1024, 128)
    fresh, own = tuple(torch.randn(2, sources, 128)), torch.arange(1024)
    prior = Prior(critic=Cosine(temperature=0.1), direction="both")

    def ratios():
        with torch.no_grad():
            return prior.read((z, z_prime), Marginals(fresh, own)).log_ratio

    return {"sources": sources} | cost(ratios)


def processes(count: int) -> dict:
    """One of `count` processes that share a batch of 4096."""
    in_batch.TILED_ABOVE = 0
    init_process_group(CPU)
    for total in (64, 4096):
        with sharded(total) as mine:
            found = cost(objective(*torch.randn(2, mine.stop - mine.start, 128)))
    return {"count": count} | found


def clock() -> dict[str, float]:
    """Seconds of the table and of tiles at B = 4096: medians of 9 rounds."""
    step = objective(*torch.randn(2, 4096, 128))
    seconds = {"table": [], "tiles": []}
    for _ in range(10):
        for name, above in {"table": 10**12, "tiles": 0}.items():
            in_batch.TILED_ABOVE = above
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    return medians | {"tiles over table": medians["tiles"] / medians["table"], "threads": torch.get_num_threads()}


def exponent(points: list[dict], by: str, of: str) -> float:
    """The slope of log cost over log size, by least squares."""
    x, y = ([math.log(p[key]) for p in points] for key in (by, of))
    return statistics.linear_regression(x, y).slope


def fitted(found: list[dict], kind: str, by: str, of: str) -> float:
    """The exponent over the points of a kind in which `by` alone varies."""
    points = [p for p in found if p["kind"] == kind]
    if by == "batch":
        points = [p for p in points if p["dim"] == 128]
    if by == "dim":
        points = [p for p in points if p["batch"] == 4096]
    return exponent(points, by, of)


def main() -> None:
    if sys.argv[1] == "--point":
        kind, *sizes = sys.argv[2:]
        torch.set_num_threads(1)
        found = {"kind": kind} | globals()[kind](*map(int, sizes))
        if is_rank_zero():
            print(json.dumps(found))
        return
    if sys.argv[1] == "--clock":
        print(json.dumps(clock()))
        return
    found = []
    for kind, *sizes in POINTS:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(sizes[0])]
        command = [sys.executable, *(launcher if kind == "processes" else []), __file__, "--point", kind]
        answer = subprocess.check_output([*command, *map(str, sizes)], text=True)
        found.append(json.loads(answer.splitlines()[-1]))
        print(found[-1], flush=True)
    exponents = {name: fitted(found, *fit) for name, fit in FITS.items()}
    Path(sys.argv[1]).write_text(json.dumps({"points": found, "exponents": exponents}, indent=1) + "\n")
    print(json.dumps(exponents, indent=1))


if __name__ == "__main__":
    main()
