"""`ssvae verify`: run every check, print the verdicts, draw two pictures."""

import logging
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from omegaconf import DictConfig

from ssvae_cli.distributed.machine import machine
from ssvae_cli.files import write_json
from ssvae_cli.tracking.console import Stages
from ssvae_cli.tracking.missing import DASH, plain
from ssvae_cli.tracking.png import save_png
from ssvae_cli.tracking.tables import number, show
from ssvae_cli.verify import alphabet, normal, sweep, views
from ssvae_cli.verify.check import Check
from ssvae_cli.verify.figure import curves_of_n, identities

log = logging.getLogger(__name__)


def verify(cfg: DictConfig, run: Path, choices: dict[str, str]) -> None:
    """Run all checks, print the table, write verify.json and two pictures into `run`; exit code 1 if a check fails."""
    began, generator = time.perf_counter(), lambda: torch.Generator().manual_seed(cfg.seed)
    log.info("%s", machine(torch.device("cpu")))
    with Stages("part", 4) as stages:
        stages.begin("(3) against (5) as N grows")
        curves = sweep.curves(generator())
        stages.begin("exact sums over a finite alphabet")
        exact = alphabet.checks(generator())
        stages.begin("closed forms of normal pairs")
        checks = [*exact, *normal.checks(generator())]
        stages.begin("joint decoders, and more than two views")
        checks += [*views.checks(generator()), *sweep.checks(curves)]
    print_table(checks)
    rows = [{k: plain(v) for k, v in asdict(c).items()} | {"holds": c.holds, "verdict": c.verdict} for c in checks]
    results = {"checks": rows, "curves": [asdict(c) for c in curves]}
    write_json(run / "verify.json", {"seed": cfg.seed} | results)
    save_png(identities(checks), run / "identities.png")
    save_png(curves_of_n(curves), run / "negatives.png")
    failed = [c for c in checks if not c.holds]
    log.info("%d of %d hold, in %.0f s: %s", len(checks) - len(failed), len(checks), time.perf_counter() - began, run)
    log.info("for an exact sum, the largest error over %d random tables is shown", alphabet.TABLES)
    if failed:
        sys.exit(1)


def print_table(checks: list[Check]) -> None:
    """One row per check, on standard output; nats."""
    rows = []
    for c in checks:
        error = (number(c.error) if math.isfinite(c.error) else DASH) if c.error else "sum"
        estimate = number(c.estimate) if math.isfinite(c.estimate) else DASH
        rows.append((c.equation, c.claim, estimate, c.relation, number(c.expected), error, c.verdict))
    headings = ("equation", "claim", "estimate", "", "exact", "s.e.", "verdict")
    show(headings, rows, text=("claim", "verdict"))
