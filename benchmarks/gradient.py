"""The gradient of the ELBO for the encoder, batch by batch, as the number N of pairs in a batch grows: its noise, and
how far its mean points away from that of the largest N.

    ssvae train ... hydra.run.dir=RUN
    python benchmarks/gradient.py RUN... --sizes 4 16 64 256 1024 --pairs 65536

Each N sees as many pairs: `pairs` of them, drawn anew from train, in batches of N; the run's weights stay as they are.
noise: the root of the gradient's total variance from batch to batch, over the length of its mean at the largest N; of
independent pairs it would fall as the root of N. noise of the mean: the same of the mean over all batches, which is
what a pass over so many pairs has. cosine: of the mean at N with the mean at the largest N. A line a run and N."""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.load_run import Loaded, load_run


class Gradients(NamedTuple):
    """Of all batches: the mean gradient for the parameters of g, [P], its total variance, and the mean ELBO, nats."""

    mean: Tensor
    variance: float
    elbo: float
    batches: int


def gradients(run: Loaded, size: int, pairs: int, generator: torch.Generator) -> Gradients:
    weights = [p for p in run.objective.encoder.parameters() if p.requires_grad]
    count, total, squares, elbos = max(2, pairs // size), 0.0, 0.0, 0.0
    for _ in range(count):
        chosen = torch.randint(len(run.data.train), (size,), generator=generator)
        views = run.pairs(next(iter(run.data.train.batches(size, chosen))), generator)
        elbo = run.objective(*views, generator=generator)
        slope = torch.cat([part.flatten() for part in torch.autograd.grad(elbo, weights)]).double()
        total, squares, elbos = total + slope, squares + slope.square().sum().item(), elbos + elbo.item()
    mean = total / count
    return Gradients(mean, (squares - count * mean.square().sum().item()) / (count - 1), elbos / count, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[4, 16, 64, 256, 1024, 4096])
    parser.add_argument("--pairs", type=int, default=65_536)
    given = parser.parse_args()
    print("| run | N | ELBO, nats | noise | noise of the mean | cosine | seconds |", "|---" * 7 + "|", sep="\n")
    for folder in given.runs:
        run = load_run(str(folder), device="cpu", trust=False)
        target = None
        for size in sorted(given.sizes, reverse=True):
            began = time.perf_counter()
            found = gradients(run, size, given.pairs, torch.Generator().manual_seed(0))
            target = found.mean if target is None else target
            noise = found.variance**0.5 / target.norm().item()
            cosine = torch.cosine_similarity(found.mean, target, dim=0).item()
            figures = [found.elbo, noise, noise / found.batches**0.5, cosine, time.perf_counter() - began]
            cells = [folder.name, size, *(f"{figure:.3g}" for figure in figures)]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
