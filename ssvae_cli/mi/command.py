"""`ssvae mi`: draw or read the pairs, estimate I by every method, recommend one value."""

import json
import logging
import math
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from omegaconf import DictConfig

from ssvae_cli.critics import require_scores
from ssvae_cli.distributed.machine import machine
from ssvae_cli.errors import UserError, allowed, counted, require, require_bool, setting_of
from ssvae_cli.estimators.base import CONTRACT as ESTIMATOR
from ssvae_cli.evaluation.fresh_critics import require_information
from ssvae_cli.files import write_json
from ssvae_cli.instantiate.build import Contract, build, build_named
from ssvae_cli.mi import pictures, report
from ssvae_cli.mi.analysis import read
from ssvae_cli.mi.by_critic import ByCritic
from ssvae_cli.mi.columns import constant, differ_between, follow_each_other, varying
from ssvae_cli.mi.data import FEWEST, pixels, pose, read_npz, tables_of, without_copies
from ssvae_cli.mi.given import Concluded, given
from ssvae_cli.mi.problem import Method, Problem
from ssvae_cli.mi.recommend import Line, Recommended, recommend
from ssvae_cli.mi.report import UNITS
from ssvae_cli.mi.splits import Split
from ssvae_cli.mi.tasks import Sample
from ssvae_cli.tracking.console import Stages
from ssvae_cli.tracking.missing import plain
from ssvae_cli.tracking.png import save_png

log = logging.getLogger(__name__)

METHOD = Contract(("trained", "relation"), "a method derives from Method of ssvae_cli.mi.problem")


def mi(cfg: DictConfig, run: Path, choices: dict[str, str]) -> dict:
    """Estimate I(x; y), or I(x; y | z), with results in the folder `run`; returns the content of summary.json."""
    require_bool(zero_check=cfg.zero_check)
    require(cfg.units in UNITS, f"units={cfg.units}: unknown; {allowed(str(cfg.units), UNITS)}")
    lags = None if cfg.lags is None else parsed_lags(str(cfg.lags))
    task, split = build(cfg.task, "task"), build(cfg.split, "split")
    sample = task.draw(np.random.default_rng(cfg.seed)) if cfg.data is None else read_npz(str(cfg.data))
    sample = without_copies(sample) if lags is None else sample  # rows left out of a series would move the others
    if lags is not None:
        require_rows(sample, lags)
    with setting_of("split", cfg.split):
        split.check(len(sample.x) - furthest(lags))
    tables = tables_of(sample)
    methods = configured_methods(cfg, sample)
    untrained = any(not method.trained for method in methods.values())
    require(lags is None or untrained, "lags are read by the methods without training, and all of these are left out")
    task_name = choices["task"] if cfg.data is None else None
    introduce(sample, f"task={task_name}" if task_name else f"data={cfg.data}")
    values = {"data/task": task_name, "data/exact": sample.exact, "data/pairs": len(sample.x), "seed": cfg.seed}
    save = lambda figure, name: save_png(figure, run / "figures" / f"{name}.png")
    if lags is not None:
        of_lags = over_lags(*tables, lags, methods, split, cfg)
        found, best_of = list(of_lags.values()), {lag: best for lag, (_, best) in of_lags.items()}
        save(pictures.over_lags(lags, list(best_of.values()), cfg.units), "lags")
        report.lags(best_of, cfg.units)
        values |= report.lags_summary(best_of)
    else:
        lines, best, problem = estimate(sample, tables, methods, split, cfg, run)
        found = [(lines, best)]
        save(pictures.estimates(lines, best, sample.exact, cfg.units), "curves")
        if picture := pictures.pointwise(lines, problem.pairs, cfg.units):
            save(picture, "pointwise")
        report.table(lines, best, sample.exact, cfg.units)
        values = report.summary(lines, best, len(sample.x)) | values
    write_json(run / "summary.json", {key: plain(value) for key, value in values.items()})
    log.info("run: %s", run)
    require_answered(found)
    return values


def require_answered(found: Sequence[Concluded]) -> None:
    """Raise UserError, with every failure, where no method answered and so nothing is recommended.

    It is raised when all has been written: the failures are a result. One method that fails is a line in the table."""
    failures = {line.name: line.failure for lines, _ in found for line in lines}
    answered = any(line.failure is None for lines, _ in found for line in lines)
    if not answered and all(math.isnan(best.value) for _, best in found):
        why = "; ".join(f"{name}: {failure}" for name, failure in failures.items()) or found[0][1].why
        raise UserError(f"no method gave an estimate: {why}")


def introduce(sample: Sample, source: str) -> None:
    """Say what the pairs are before anything is estimated."""
    known = "" if sample.exact is None else f", I is {sample.exact:.3f} nats"
    given = "" if sample.z is None else f", given z {list(sample.z.shape[1:])}"
    shapes = f"x {list(sample.x.shape[1:])}, y {list(sample.y.shape[1:])}{given}"
    start = (source, known, len(sample.x), shapes, machine(torch.device("cpu")))
    log.info("%s%s: %d pairs, %s; %s", *start)


def estimate(
    sample: Sample, tables: Sequence[np.ndarray], methods: dict[str, Method], split: Split, cfg: DictConfig, run: Path
) -> tuple[list[Line], Recommended, Problem]:
    """By every method, on each problem that I(x; y) or I(x; y | z) takes. tables: as of `tables_of`."""
    if sample.z is None:
        problem = replace(pose(*tables, split, cfg.seed), images=(pixels(sample.x), pixels(sample.y)))
        problems, conclude = [problem], lambda found: found[0]
    else:
        problems, conclude = given(*tables, split, cfg.seed)
    warn_of_neighbours(problems[0])
    with (
        open(run / "metrics.jsonl", "w", encoding="utf-8") as metrics,
        Stages("method", len(problems) * len(methods)) as stages,
    ):
        found = [all_lines(methods, problem, cfg, stages, metrics) for problem in problems]
    concluded = [(lines, recommend(lines, problem)) for lines, problem in zip(found, problems)]
    return *conclude(concluded), problems[0]


def all_lines(
    methods: dict[str, Method], problem: Problem, cfg: DictConfig, stages: Stages, metrics: TextIO
) -> list[Line]:
    """The lines of all methods; what they recommend so far is said before the first network is trained."""
    began, lines = time.monotonic(), []
    slow = next((name for name, method in methods.items() if method.trained and not method.refusal(problem)), None)

    def begin(name: str) -> None:
        if name == slow and lines:
            so_far = report.said(recommend(lines, problem), cfg.units)
            log.info("after %.1f s, without training: %s", time.monotonic() - began, so_far)
        stages.begin(name)

    for line in read(methods, problem, cfg.zero_check, begin):
        lines.append(line)
        for step, value in zip(*line.reading.curve[:2]) if line.reading.curve else ():
            metrics.write(json.dumps({"estimator": line.name, "step": step, "validation": plain(value)}) + "\n")
        metrics.flush()
    return lines


def require_rows(sample: Sample, lags: range) -> None:
    """Raise UserError where too few rows are as far apart as the lags."""
    require(sample.z is None, "lags: not with z")
    count, apart = len(sample.x), furthest(lags)
    pairs = f"{counted(max(0, count - apart), 'pair')} {counted(apart, 'row')} apart"
    few = f"lags={lags[0]}..{lags[-1]}: {count} rows have {pairs}"
    require(count - apart >= FEWEST, f"{few}, and {FEWEST} are needed")


def furthest(lags: range | None) -> int:
    """By how many rows the pairs of some lag are apart, at most."""
    return max(abs(lags[0]), abs(lags[-1])) if lags else 0


def over_lags(
    x: np.ndarray, y: np.ndarray, lags: range, methods: dict[str, Method], split: Split, cfg: DictConfig
) -> dict[int, Concluded]:
    """What is concluded of x at row t and y at row t + lag, for each lag, by the methods without training."""
    count, quick, found = len(x), {name: method for name, method in methods.items() if not method.trained}, {}
    warn_of_neighbours(pose(x, y, split, cfg.seed))
    with Stages("lag", len(lags)) as stages:
        for lag in lags:
            stages.begin(str(lag))
            moved = x[max(0, -lag) : count - max(0, lag)], y[max(0, lag) : count - max(0, -lag)]
            pairs = without_copies(Sample(*moved, None), logging.WARNING if lag == lags[0] else logging.DEBUG)
            if any(len(constant(side)) == side.shape[1] for side in (pairs.x, pairs.y)):
                found[lag] = [], Recommended(*[math.nan] * 3, "a side is constant in the rows that have a partner")
                continue
            problem = pose(varying(pairs.x), varying(pairs.y), split, cfg.seed)
            lines = list(read(quick, problem, False, lambda _: None))
            found[lag] = lines, recommend(lines, problem)
    faults = {line.name: line.fault for lines, _ in found.values() for line in lines if line.fault}
    for name, fault in faults.items():  # no table shows them
        log.warning("%s failed: %s", name, fault)
    return found


def warn_of_neighbours(problem: Problem) -> None:
    """Say so where the rows of a random split, or the blocks of a series, depend on each other."""
    if problem.split.independent:
        if any(map(follow_each_other, problem.pairs)):
            log.warning("rows are like their neighbours: if the file is a time series, give split=blocks")
        return
    groups = problem.split.groups(len(problem))
    if any(differ_between(side, groups) for side in problem.pairs):
        slow = "rows differ more from block to block than within one, so blocks depend on each other"
        log.warning(
            "%s, and errors are too small: give fewer, longer blocks, or differences of a series that drifts", slow
        )


def parsed_lags(text: str) -> range:
    """The lags that `first..last` names. Raises UserError for another text."""
    found = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", text)
    require(found is not None and int(found[1]) <= int(found[2]), f"lags must be first..last, as -10..10, got {text}")
    return range(int(found[1]), int(found[2]) + 1)


def configured_methods(cfg: DictConfig, sample: Sample) -> dict[str, Method]:
    """The configured methods, then the configured estimators, each by a critic; all are checked before any runs."""
    methods = build_named(cfg, "methods", METHOD)
    training = build(cfg.training, "training")
    widths = [side[0].size for side in (sample.x, sample.y)]
    if sample.z is not None:
        widths[0] += sample.z[0].size
    widest = max(widths)
    images = tuple(side.shape[1:] if side.ndim == 4 and sample.z is None else None for side in (sample.x, sample.y))
    critic = lambda: build(cfg.critic, "critic", latent_dim=widest, images=images)
    require_scores(critic(), widest, "critic")
    estimators = build_named(cfg, "estimators", ESTIMATOR, latent_dim=widest)
    require(
        bool(methods or estimators), "every method and every estimator is left out: there is nothing to estimate by"
    )
    if estimators:
        require_information(estimators)
    taken = methods.keys() & estimators.keys()
    require(not taken, f"methods and estimators have the same name: {', '.join(taken)}")
    new = lambda name: build(cfg.estimators[name], f"estimators.{name}", ESTIMATOR, latent_dim=widest)
    return methods | {name: ByCritic(critic, partial(new, name), training, widest) for name in estimators}
