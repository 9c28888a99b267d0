"""Cost of the objective against batch size and latent dimension, dense and in tiles: CPU seconds and peak memory.

One thread, and its own time, so that a machine's other work does not count.

usage: growth.py OUT.json            everything, each point in a process of its own, so that its peak memory is its own
       growth.py --point FORM B D    one point, as a line of JSON
"""

import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

POINTS = [
    *(("dense", batch, 128) for batch in (1024, 2048, 4096, 8192)),
    *(("tiles", batch, 128) for batch in (1024, 2048, 4096, 8192, 16384, 32768)),
    *(("tiles", 4096, dim) for dim in (32, 64, 256, 512)),
]


def point(form: str, batch: int, dim: int) -> dict:
    """Value and gradient of the symmetric InfoNCE objective, cosine coupling, float32: the median of a few."""
    import torch

    from ssvae_cli import memory
    from ssvae_cli.couplings import Cosine
    from ssvae_cli.estimators.infonce import InfoNCE
    from ssvae_cli.priors import base
    from ssvae_cli.priors.infonce import InfoNCE as Prior

    torch.set_num_threads(1)
    base.TILED_ABOVE = 0 if form == "tiles" else 10**12
    prior, device = Prior(coupling=Cosine(temperature=0.1), direction="both"), torch.device("cpu")
    z, z_prime = (torch.randn(batch, dim).requires_grad_() for _ in range(2))

    def step(rows: int) -> float:
        z.grad = z_prime.grad = None
        began = time.process_time()
        (sum(InfoNCE()(s) for s in prior.scores(z[:rows], z_prime[:rows])) / 2).backward()
        return time.process_time() - began

    step(64)  # libraries, threads
    z.grad = z_prime.grad = None
    before = memory.peak(device)
    seconds = [step(batch)]
    peak = memory.peak(device) - before
    while len(seconds) < 5 and sum(seconds) < 4:
        seconds.append(step(batch))
    return {
        "form": form,
        "batch": batch,
        "dim": dim,
        "cpu_seconds": statistics.median(seconds),
        "peak_above_embeddings_mib": peak / 2**20,
    }


def exponent(points: list[dict], by: str, of: str) -> float:
    """The slope of log cost over log size, by least squares."""
    x, y = ([math.log(p[key]) for p in points] for key in (by, of))
    mean_x, mean_y = statistics.mean(x), statistics.mean(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def main() -> None:
    if sys.argv[1] == "--point":
        print(json.dumps(point(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
        return
    found = []
    for form, batch, dim in POINTS:
        command = [sys.executable, __file__, "--point", form, str(batch), str(dim)]
        found.append(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))
        print(found[-1], flush=True)
    tiles = [p for p in found if p["form"] == "tiles" and p["dim"] == 128]
    by_dim = [p for p in found if p["form"] == "tiles" and p["batch"] == 4096]
    exponents = {
        "cpu_seconds by batch": exponent(tiles, "batch", "cpu_seconds"),
        "memory by batch": exponent(tiles[2:], "batch", "peak_above_embeddings_mib"),
        "cpu_seconds by latent dimension": exponent(by_dim, "dim", "cpu_seconds"),
    }
    Path(sys.argv[1]).write_text(json.dumps({"points": found, "exponents": exponents}, indent=1) + "\n")
    print(exponents)


if __name__ == "__main__":
    main()
