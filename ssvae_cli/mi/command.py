"""`ssvae mi`: draw or read the pairs, estimate I, check the estimates on shuffled pairs, recommend one."""

import json
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig

from ssvae_cli.errors import require
from ssvae_cli.estimators.base import CONTRACT as ESTIMATOR
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.fit import Curve
from ssvae_cli.evaluation.fresh_critics import fit_and_read, require_information
from ssvae_cli.files import write_json
from ssvae_cli.instantiate.build import build
from ssvae_cli.mi import report
from ssvae_cli.mi.classical import gaussian_copula, ksg, share_a_coordinate
from ssvae_cli.mi.data import Cut, cut, of_one_width, read_npz
from ssvae_cli.mi.recommend import Line, recommend
from ssvae_cli.mi.tasks import Sample
from ssvae_cli.tracking.console import Stages
from ssvae_cli.tracking.missing import plain

log = logging.getLogger(__name__)


class Method(NamedTuple):
    """One way to estimate I, the relation of its expectation to I, and its largest possible value in nats."""

    relation: str
    ceiling: float
    estimate: Callable[[Cut, torch.Generator], tuple[Estimate, Curve | None]]


def mi(cfg: DictConfig, run: Path, choices: dict[str, str]) -> dict:
    """Estimate I(x; y), with results in the folder `run`; returns the content of summary.json."""
    require(isinstance(cfg.zero_check, bool), f"zero_check must be true or false, got {cfg.zero_check!r}")
    task, split = build(cfg.task, "task"), build(cfg.split, "split")
    rng = np.random.default_rng(cfg.seed)
    sample = task.draw(rng) if cfg.data is None else read_npz(str(cfg.data))
    pairs = cut(sample, split, cfg.seed)
    shuffled = cut(Sample(sample.x, rng.permutation(sample.y), 0.0), split, cfg.seed) if cfg.zero_check else None
    methods = the_methods(cfg, pairs)
    if share_a_coordinate(pairs.whole):
        log.warning("x and y share a coordinate: I is infinite, and the estimates depend on the number of pairs alone")
    task_name = choices["task"] if cfg.data is None else None
    source = f"task={task_name}" if task_name else f"data={cfg.data}"
    known = "" if sample.exact is None else f", I is {sample.exact:.3f} nats"
    log.info("%s%s: %d pairs, x [%d], y [%d]", source, known, len(sample.x), sample.x.shape[1], sample.y.shape[1])

    lines, curves = [], {}
    with open(run / "metrics.jsonl", "w") as metrics, Stages("estimator", len(methods)) as stages:
        for name, method in methods.items():
            stages.begin(name)
            value, curve = estimate(method, pairs, cfg.seed)
            zero = estimate(method, shuffled, cfg.seed)[0] if shuffled else None
            lines.append(Line(name, method.relation, method.ceiling, value, curve and curve.chosen, zero))
            if curve:
                curves[name] = curve
                for step, value in zip(curve.steps, curve.values):
                    metrics.write(json.dumps({"estimator": name, "step": step, "validation": plain(value)}) + "\n")
                metrics.flush()

    best = recommend(lines)
    summary = report.summary(lines, best, sample) | {"data/task": task_name, "seed": cfg.seed}
    write_json(run / "summary.json", summary)
    (run / "figures").mkdir(exist_ok=True)
    report.curves(lines, curves, best, sample.exact).savefig(run / "figures" / "curves.png", dpi=150)
    report.table(lines, best, sample.exact)
    log.info("run: %s", run)
    return summary


def the_methods(cfg: DictConfig, pairs: Cut) -> dict[str, Method]:
    """The configured estimators, the entropies and the two classical ones; all are checked before any of them runs."""
    training, entropies = build(cfg.training, "training"), build(cfg.entropies, "entropies")
    widest = max(side.shape[1] for side in pairs.whole)
    critic = lambda: build(cfg.critic, "critic", latent_dim=widest)
    estimator = lambda name: build(cfg.estimators[name], f"estimators.{name}", ESTIMATOR, latent_dim=widest)

    def by_critic(name: str, pairs: Cut, generator: torch.Generator):
        return fit_and_read(critic(), estimator(name), training, of_one_width(pairs.parts), generator)

    critic()
    estimators = {name: estimator(name) for name in cfg.estimators}
    require_information(estimators)
    methods = {}
    for name, one in estimators.items():
        relation = "lower bound" if one.bound == "lower" else "no bound"
        methods[name] = Method(relation, one.ceiling(len(pairs.parts.test.x)), partial(by_critic, name))
    others = {
        "entropies": lambda pairs, generator: entropies.fit_and_read(pairs.parts, generator),
        "ksg": lambda pairs, _: (ksg(pairs.whole), None),
        "gaussian_copula": lambda pairs, _: (gaussian_copula(pairs.whole), None),
    }
    return methods | {name: Method("no bound", math.inf, estimate) for name, estimate in others.items()}


def estimate(method: Method, pairs: Cut, seed: int) -> tuple[Estimate, Curve | None]:
    """The method's result, with weights and batches that do not depend on what ran before."""
    torch.manual_seed(seed)
    return method.estimate(pairs, torch.Generator().manual_seed(seed))
