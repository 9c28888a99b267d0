"""Everything that a GPU must show, in one call of 8 minutes; what does not fit in the time is left out, by name.

Steps compared with the limit, eager, compiled and as CUDA graphs; the objective at 262,144 pairs in tiles; InfoNCE
beside lightly's loss, where lightly is installed; NCCL with one process; the first minutes of the speed run.

usage: gpu.py OUT.json [--cifar ROOT] [--short]     --cifar: torchvision's files, for the speed run
                                                    --short: the same in seconds, on any machine, to see that it runs
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist

from ssvae_cli.critics import Cosine
from ssvae_cli.device import peak
from ssvae_cli.distributed import collectives
from ssvae_cli.estimators import InfoNCE
from ssvae_cli.scores import in_batch, in_batch_scores

SECONDS, LATENT = 480, 128
PHOTOGRAPHS = ["dataset=sprites", "pairs=simclr", "pairs.size=32", "trainer.precision=bf16", "trainer.batch_size=512"]
SHORT_BENCH = ["trainer.batch_size=32", "bench.rounds=1", "bench.seconds=0.01"]


def bench(device: torch.device, overrides: list[str]) -> dict:
    """`ssvae bench` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*overrides, f"trainer.device={device.type}", f"hydra.run.dir={folder}"]
        subprocess.run([sys.executable, "-m", "ssvae_cli", "bench", *words], check=True, stdout=subprocess.DEVNULL)
        return json.loads((Path(folder) / "bench.json").read_text())


def infonce(z: torch.Tensor, z_prime: torch.Tensor) -> torch.Tensor:
    """The symmetric InfoNCE objective of cosines, []."""
    return sum(InfoNCE()(scores) for scores in in_batch_scores(Cosine(temperature=0.1), z, z_prime, "both")) / 2


def timed(function, pairs: int, device: torch.device) -> dict[str, float]:
    """Seconds of value and gradient, the second of two calls, and the peak of memory in GiB."""
    sides = [torch.randn(pairs, LATENT, device=device).requires_grad_() for _ in range(2)]
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(2):
        wait()
        began = time.perf_counter()
        function(*sides).backward()
        wait()
        seconds = time.perf_counter() - began
    return {"pairs": pairs, "seconds": seconds, "peak_gib": peak(device) / 2**30}


def lightly(device: torch.device, pairs: int) -> dict:
    """The same objective by lightly's loss, and here."""
    from lightly.loss import NTXentLoss

    return {"lightly": timed(NTXentLoss(temperature=0.1), pairs, device), "ssvae": timed(infonce, pairs, device)}


def one_rank(device: torch.device) -> dict:
    """The largest relative difference that NCCL's collectives of one process make to value and gradient."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=0, world_size=1)
        try:
            z, z_prime = torch.randn(2, 64, LATENT, device=device).unbind()
            found = []
            for shard in (None, collectives.Shard(64, (64,), 0)):
                collectives._shard = shard
                leaf = z.clone().requires_grad_()
                value = infonce(leaf, z_prime)
                value.backward()
                found.append(torch.cat([value.detach()[None], leaf.grad.flatten()]))
        finally:
            collectives._shard = None
            dist.destroy_process_group()
    return {"backend": backend, "difference": ((found[0] - found[1]).norm() / found[0].norm()).item()}


def speed_run(overrides: list[str], seconds: float) -> list[dict]:
    """The curve of a training that is stopped after so many seconds: the reads on validation, with their time."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "ssvae_cli", "train", *overrides, f"hydra.run.dir={folder}/run"]
        began, metrics, curve = time.perf_counter(), Path(folder) / "run" / "metrics.jsonl", []
        training = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            while (ended := training.poll()) is None and time.perf_counter() - began < seconds:
                time.sleep(0.2)
                curve = noted(metrics, curve, time.perf_counter() - began)
        finally:
            training.terminate()
            training.wait()
        if ended:
            raise subprocess.CalledProcessError(ended, words)
        return noted(metrics, curve, time.perf_counter() - began)


def noted(metrics: Path, curve: list[dict], seconds: float) -> list[dict]:
    """The curve with the reads that are new in the file."""
    name, lines = "probe/linear/validation", metrics.read_text().splitlines() if metrics.exists() else []
    reads = [values for values in map(json.loads, lines) if values.get(name) is not None]
    new = [{"epoch": read["epoch"], name: read[name], "seconds": seconds} for read in reads[len(curve) :]]
    return curve + new


def stages(device: torch.device, short: bool, cifar: Path | None):
    """(name, what it takes, why it is left out or None), in the order of what matters."""
    if short:
        yield "bench/digits/eager", lambda left: bench(device, SHORT_BENCH), None
    else:
        for encoder in ("resnet18", "convnet"):
            for mode, compile in {"eager": "false", "compiled": "true", "CUDA graphs": "reduce-overhead"}.items():
                words = [*PHOTOGRAPHS, f"encoder={encoder}", f"trainer.compile={compile}"]
                yield f"bench/{encoder}/{mode}", lambda left, words=words: bench(device, words), None
    yield "tiles", lambda left: timed(infonce, 512 if short else 262_144, device), None
    missing = None if importlib.util.find_spec("lightly") else "lightly is not installed"
    yield "lightly", lambda left: lightly(device, 64 if short else 512), missing
    yield "one rank", lambda left: one_rank(device), None
    speed = ["experiment=cifar10_speedrun", f"dataset.root={cifar}", "trainer.eval_every=2", "evaluation=quick"]
    if short:
        speed = ["evaluation=quick", "trainer.epochs=1", "trainer.device=cpu", "dataset.limit=200"]
    absent = None if short or cifar else "no --cifar ROOT"
    yield "speed run", lambda left: speed_run(speed, left), absent


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--cifar", type=Path)
    parser.add_argument("--short", action="store_true")
    asked = parser.parse_args(arguments)
    device = torch.device("cpu" if asked.short else "cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no GPU was found; --short runs without one", file=sys.stderr)
        return 2
    of = {"torch": torch.__version__, "device": "cpu" if asked.short else torch.cuda.get_device_name()}
    began, found, failed = time.perf_counter(), of, False
    if asked.short:
        in_batch.TILED_ABOVE = 0
    for name, take, left_out in stages(device, asked.short, asked.cifar):
        left = SECONDS - (time.perf_counter() - began)
        try:
            found[name] = {"left out": left_out or "no time left"} if left_out or left < 20 else take(left)
        except (subprocess.CalledProcessError, RuntimeError) as error:  # the others have their turn
            found[name], failed = {"failed": str(error).splitlines()[0]}, True
        print(name, json.dumps(found[name]), flush=True)
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
