"""What both sides of the comparison share: one configuration of ssvae, its encoder, and what is measured."""

import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir

WORKERS = 2
CONF = Path(__file__).parents[2].absolute() / "conf"


def configuration(folder: str, images: int, encoder: str, precision: str, *more: str):
    """SimCLR's pairs and loss on CIFAR-10's size; `ssvae train` with these overrides is the same run.

    more: further overrides."""
    overrides = ["dataset=folder", f"dataset.root={folder}", "dataset.size=32", f"dataset.limit={images}"]
    overrides += ["pairs=simclr", f"encoder={encoder}", "prior=infonce", "optimizer=adamw", "optimizer.lr=0.002"]
    overrides += ["trainer.batch_size=512", f"trainer.precision={precision}", "trainer.device=cpu"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*overrides, "dataset.validation=100", *more])


def measure(epoch: Callable[[], Iterator[int]], epochs: int) -> None:
    """Print each epoch's images a second, by the clock and of processor time, and this process's peak memory.

    epoch: yields the images of each step. Processor time is that of all processes, a loader's workers among them: a
    machine's other work does not count in it.
    """
    rates, per_processor = [], []
    for _ in range(epochs):
        began, processor = time.perf_counter(), processor_time()
        seen = sum(epoch())
        rates.append(seen / (time.perf_counter() - began))
        per_processor.append(seen / (processor_time() - processor))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"images_per_s": rates, "images_per_processor_s": per_processor, "peak_gib": peak}))


def processor_time() -> float:
    """Seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)
