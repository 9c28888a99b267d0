"""`ssvae bench`: how fast a configuration trains on this machine, and what share that is of the machine's limit.

The limit is forward, backward and optimizer step of the same encoders at the same precision on one resident batch, and
nothing else. Parts are timed in turn in every round, so other work on the machine affects all of them equally.
"""

import itertools
import logging
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch.utils.flop_counter import FlopCounterMode

from ssvae_cli.compiler import compiled
from ssvae_cli.datasets.checked import make_data
from ssvae_cli.device import keep_freed, peak, set_precision
from ssvae_cli.distributed.machine import machine
from ssvae_cli.distributions.seeding import seed_of_views
from ssvae_cli.errors import require_above, require_at_least
from ssvae_cli.files import write_json
from ssvae_cli.instantiate.build import build
from ssvae_cli.objective import make_objective
from ssvae_cli.pairs.base import make_pairs, without_times
from ssvae_cli.tracking.console import Stages
from ssvae_cli.tracking.tables import output
from ssvae_cli.tracking.tables import show as show_table
from ssvae_cli.training.step import Forward

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Timing:
    """How long the parts are timed: `rounds`, in each about `seconds` for each part."""

    rounds: int
    seconds: float

    def __post_init__(self):
        require_at_least(1, rounds=self.rounds)
        require_above(0, seconds=self.seconds)


def bench(cfg: DictConfig, run: Path, choices: dict[str, str]) -> dict:
    """Time the parts of one configuration; the table on standard output is also written to bench.json in `run`."""
    timing = build(cfg.bench, "bench")
    trainer = build(cfg.trainer, "trainer")
    set_precision(trainer.precision)
    device = trainer.device
    torch.manual_seed(cfg.seed)
    keep_freed(device)
    data = make_data(cfg.dataset, fitted={}).to(device)
    pairs = make_pairs(cfg.pairs, data)
    objective = make_objective(cfg, *pairs.shapes(data)).to(device).train()
    batch_size = trainer.batch_of(len(data.train))
    objective.require_batch(batch_size, cfg.encoder.latent_dim, device)
    optimization = build(cfg.optimizer, "optimizer").attach([objective], 10**6)
    count = itertools.count()  # of steps: an update follows optimizer.accumulate of them
    noise = torch.Generator(device).manual_seed(seed_of_views(cfg.seed, device))
    forward = Forward(objective, pairs, noise, compile=trainer.compile)
    rows = torch.randint(len(data.train), (batch_size,), generator=torch.Generator().manual_seed(cfg.seed))
    draw_pairs = torch.no_grad()(lambda: pairs(next(iter(data.train.batches(batch_size, rows))), noise))
    views, times = without_times(draw_pairs(), pairs.times)
    with torch.no_grad():
        latents = objective.encode(*views, times=times, generator=noise)
    every = [*latents.latents, *latents.times]
    slopes = [torch.randn_like(z) / z.numel() for z in every]  # for the limit, a gradient of typical size
    encode = compiled(objective.encode, trainer.compile)

    def limit() -> None:
        encoded = encode(*views, times=times)
        sum((z * slope).sum() for z, slope in zip([*encoded.latents, *encoded.times], slopes)).backward()
        optimization.step(next(count))

    def only_objective() -> None:
        leaves = [tuple(z.detach().requires_grad_() for z in side) for side in (latents.latents, latents.times)]
        (-objective.elbo(latents._replace(latents=leaves[0], times=leaves[1]))).backward()
        optimization.optimizer.zero_grad(set_to_none=True)

    def step() -> None:
        (-forward(next(iter(data.train.batches(batch_size, rows))))).backward()
        optimization.step(next(count))
        if optimization.updated:
            objective.after_update(0.0)

    parts = {"limit": limit, "pairs": draw_pairs, "step": step}
    if objective.decoder is None:
        parts["objective"] = only_objective
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    with Stages("stage", 1 + timing.rounds) as stages:
        stages.begin("first steps, compilation included")
        first = {name: timed(part, device, 1) for name, part in parts.items()}  # compiles, allocates, fills caches
        steps = {name: max(1, math.ceil(timing.seconds / timed(part, device, 1))) for name, part in parts.items()}
        for n in range(timing.rounds):
            stages.begin(f"round {n + 1}: {', '.join(parts)}")
            for name, part in parts.items():
                seconds[name].append(timed(part, device, steps[name]))
    log.info("first steps, compilation included: %.1f s", sum(first.values()))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    on_gpu, values = device.type == "cuda", {}
    for name, median in medians.items():
        values[f"{name}/images_per_s"] = batch_size / median
        values[f"{name}/share_of_limit"] = medians["limit"] / median
        values[f"{name}/first_s"] = first[name]
    values |= {
        "memory/peak_gib": peak(device) / 2**30,
        "matrix_rate/share": share_of_matrix_rate(limit, medians["limit"], device) if on_gpu else None,
        "batch_size": batch_size,
        "device": machine(device),
        "torch": torch.__version__,
    }
    write_json(run / "bench.json", values)
    show(values, list(parts))
    log.info("json: %s", run / "bench.json")
    return values


def timed(part: Callable[[], None], device: torch.device, steps: int) -> float:
    """Seconds per call over `steps` calls, with the device synchronised before and after."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        part()
    wait()
    return (time.perf_counter() - began) / steps


def share_of_matrix_rate(part: Callable[[], None], seconds: float, device: torch.device) -> float:
    """Operations per second of one call of `part`, relative to those of one large bfloat16 matrix product."""
    with FlopCounterMode(display=False) as counted:
        part()
    side = 8192
    a = torch.randn(side, side, dtype=torch.bfloat16, device=device)
    timed(lambda: a @ a, device, 3)
    best = 2 * side**3 / timed(lambda: a @ a, device, 20)
    return counted.get_total_flops() / seconds / best


def show(values: dict, parts: list[str]) -> None:
    """The table, one line per part."""
    rows = []
    for name in (name for name in ("limit", "pairs", "objective", "step") if name in parts):
        rate, share = values[f"{name}/images_per_s"], values[f"{name}/share_of_limit"]
        rows.append(({"step": "training step"}.get(name, name), f"{rate:,.0f}", f"{share:.2f}"))
    show_table(("", "images/s", "times the limit"), rows)
    console = output()
    console.print("limit: forward, backward and update of the same encoders on one batch already on the device")
    console.print(f"peak memory {values['memory/peak_gib']:.2f} GiB, batch {values['batch_size']}, {values['device']}")
    if values["matrix_rate/share"] is not None:
        console.print(f"the limit runs at {values['matrix_rate/share']:.2f} of the matrix rate")
