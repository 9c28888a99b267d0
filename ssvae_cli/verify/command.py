"""`ssvae verify`: run every check, print the verdicts, draw two pictures."""

import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from ssvae_cli.files import write_json
from ssvae_cli.tracking.console import Stages
from ssvae_cli.verify import alphabet, normal, sweep
from ssvae_cli.verify.check import Check
from ssvae_cli.verify.figure import curves_of_n, identities

log = logging.getLogger(__name__)


def verify(cfg: DictConfig, run: Path, choices: dict[str, str]) -> None:
    """Run all checks, print the table, write verify.json and two pictures into `run`; exit code 1 if a check fails."""
    began, generator = time.perf_counter(), lambda: torch.Generator().manual_seed(cfg.seed)
    with Stages("part", 3) as stages:
        stages.begin("(3) against (5) as N grows")
        curves = sweep.curves(generator())
        stages.begin("exact sums over a finite alphabet")
        exact = alphabet.checks(generator())
        stages.begin("closed forms of normal pairs")
        checks = [*exact, *normal.checks(generator()), *sweep.checks(curves)]
    print_table(checks)
    results = {"checks": [asdict(c) | {"holds": c.holds} for c in checks], "curves": [asdict(c) for c in curves]}
    write_json(run / "verify.json", {"seed": cfg.seed} | results)
    identities(checks).savefig(run / "identities.png", dpi=150)
    curves_of_n(curves).savefig(run / "negatives.png", dpi=150)
    failed = [c for c in checks if not c.holds]
    log.info("%d of %d hold, in %.0f s: %s", len(checks) - len(failed), len(checks), time.perf_counter() - began, run)
    log.info("for an exact sum, the largest error over %d random tables is shown", alphabet.TABLES)
    if failed:
        sys.exit(1)


def print_table(checks: list[Check]) -> None:
    """One row per check, on standard output; nats."""
    table = Table(box=None, pad_edge=False)
    for name, side in (("equation", "left"), ("claim", "left"), ("estimate", "right"), ("", "left"),
                       ("exact", "right"), ("s.e.", "right"), ("verdict", "left")):  # fmt: skip
        table.add_column(name, justify=side, no_wrap=name != "claim")
    for c in checks:
        claim, error = c.claim.replace("[", r"\["), f"{c.error:.4f}" if c.error else "sum"
        verdict = "holds" if c.holds else f"[bold red]FAILS[/] by {c.excess:.1e}"
        table.add_row(c.equation, claim, f"{c.estimate:.4f}", c.relation, f"{c.expected:.4f}", error, verdict)
    Console(width=132 if not sys.stdout.isatty() else None).print(table)
