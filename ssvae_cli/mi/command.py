"""The job of `ssvae mi`: draw or read the pairs, estimate, check against shuffled pairs, recommend."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig

from ssvae_cli.build import build
from ssvae_cli.checkpoint import atomic_write
from ssvae_cli.errors import require
from ssvae_cli.mi import report
from ssvae_cli.mi.classical import gaussian_copula, ksg, share_a_coordinate
from ssvae_cli.mi.critics import fit_and_read, refuse_others
from ssvae_cli.mi.data import Parts, cut, read_npz
from ssvae_cli.mi.reading import Reading
from ssvae_cli.mi.recommend import Estimate, recommend
from ssvae_cli.mi.training import Curve
from ssvae_cli.tasks import Sample
from ssvae_cli.tracking import Stages, plain

log = logging.getLogger(__name__)


class Method(NamedTuple):
    """One way to estimate I, what its expectation is to I, and the most that it can read."""

    relation: str
    ceiling: float
    estimate: Callable[[Parts, torch.Generator], tuple[Reading, Curve | None]]


def mi(cfg: DictConfig, run: Path, choices: dict[str, str]) -> dict:
    """Estimate I(x; y), into the folder `run`; returns what summary.json holds."""
    require(isinstance(cfg.seed, int) and cfg.seed >= 0, f"seed must be an integer of at least 0, got {cfg.seed!r}")
    require(isinstance(cfg.zero_check, bool), f"zero_check must be true or false, got {cfg.zero_check!r}")
    task, split = build(cfg.task, "task"), build(cfg.split, "split")
    rng = np.random.default_rng(cfg.seed)
    sample = task.draw(rng) if cfg.data is None else read_npz(str(cfg.data))
    parts = cut(sample, split, cfg.seed)
    shuffled = cut(Sample(sample.x, rng.permutation(sample.y), 0.0), split, cfg.seed) if cfg.zero_check else None
    methods = the_methods(cfg, parts)
    if share_a_coordinate(parts.whole):
        log.warning("x and y share a coordinate: I is infinite, and the numbers below tell how many pairs there are")
    chosen = choices["task"] if cfg.data is None else None
    source = f"task={chosen}" if chosen else f"data={cfg.data}"
    known = "" if sample.exact is None else f", I is {sample.exact:.3f} nats"
    log.info("%s%s: %d pairs, x [%d], y [%d]", source, known, len(sample.x), sample.x.shape[1], sample.y.shape[1])

    estimates, curves = [], {}
    with open(run / "metrics.jsonl", "w") as metrics, Stages("estimator", len(methods)) as stages:
        for name, method in methods.items():
            stages.begin(name)
            reading, curve = estimate(method, parts, cfg.seed)
            zero = estimate(method, shuffled, cfg.seed)[0] if shuffled else None
            step = curve.chosen if curve else None
            estimates.append(Estimate(name, method.relation, method.ceiling, reading, step, zero))
            if curve:
                curves[name] = curve
                for step, value in zip(curve.steps, curve.values):
                    metrics.write(json.dumps({"estimator": name, "step": step, "validation": plain(value)}) + "\n")
                metrics.flush()

    best = recommend(estimates)
    summary = report.summary(estimates, best, sample) | {"data/task": chosen, "seed": cfg.seed}
    text = json.dumps(summary, indent=2) + "\n"
    atomic_write(run / "summary.json", lambda path: path.write_text(text))
    (run / "figures").mkdir(exist_ok=True)
    report.curves(estimates, curves, best, sample.exact).savefig(run / "figures" / "curves.png", dpi=150)
    report.table(estimates, best, sample.exact)
    log.info("run: %s", run)
    return summary


def the_methods(cfg: DictConfig, parts: Parts) -> dict[str, Method]:
    """The configuration's estimators, the entropies, the two classical ones; all are checked before any runs."""
    training = build(cfg.training, "training")
    entropies = build(cfg.entropies, "entropies")
    widest = max(side.shape[1] for side in parts.whole)

    def critic():
        return build(cfg.critic, "critic", latent_dim=widest)

    def estimator(name: str):
        return build(cfg.estimators[name], f"estimators.{name}")

    def by_critic(name: str):
        return lambda parts, generator: fit_and_read(critic(), estimator(name), training, parts, generator)

    critic()
    refuse_others({name: estimator(name) for name in cfg.estimators})
    methods = {}
    for name in cfg.estimators:
        one = estimator(name)
        relation = "lower bound" if one.bound == "lower" else "no bound"
        methods[name] = Method(relation, one.ceiling(len(parts.test.x)), by_critic(name))
    methods["entropies"] = Method("no bound", math.inf, entropies.fit_and_read)
    methods["ksg"] = Method("no bound", math.inf, lambda parts, _: (ksg(parts.whole), None))
    methods["gaussian_copula"] = Method("no bound", math.inf, lambda parts, _: (gaussian_copula(parts.whole), None))
    return methods


def estimate(method: Method, parts: Parts, seed: int) -> tuple[Reading, Curve | None]:
    """The method's answer; the same weights and batches whatever ran before it."""
    torch.manual_seed(seed)
    return method.estimate(parts, torch.Generator().manual_seed(seed))
