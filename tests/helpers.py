"""What several tests share: the command with short fits, in this process or as a script of its own, and tiny runs."""

import contextlib
import json
import sys
from pathlib import Path
from unittest import mock

from hydra.core.global_hydra import GlobalHydra

from ssvae_cli.cli import main as cli
from ssvae_cli.evaluation import both_sides, density, evaluator

TINY = [
    "trainer.epochs=2",
    "trainer.eval_every=1",
    "trainer.batch_size=400",
    "encoder.backbone.width=8",
    "trainer.device=cpu",
]
SHORT_FITS = [  # a few steps on few samples, for runs whose numbers no test is about
    (density, "STEPS", 10),
    (both_sides, "STEPS", 5),
    (both_sides, "MOST", 500),
    (evaluator, "DENSITY_SAMPLES", 500),
]
SHARED = Path(__file__).parents[2] / "shared" / "data"


def ssvae(*arguments: str) -> int:
    """Run `ssvae ARGUMENTS` in this process, its fits short; its exit code."""
    GlobalHydra.instance().clear()
    before = sys.argv
    sys.argv = ["ssvae", *arguments]
    with contextlib.ExitStack() as short:
        for module, name, value in SHORT_FITS:
            short.enter_context(mock.patch.object(module, name, value))
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        finally:
            sys.argv = before
            GlobalHydra.instance().clear()
    return 0


def train(run: Path, *overrides: str) -> dict:
    """A tiny run in the folder `run`; its summary."""
    assert ssvae("train", *TINY, *overrides, f"hydra.run.dir={run}") == 0
    return json.loads((run / "summary.json").read_text())


if __name__ == "__main__":
    sys.exit(ssvae(*sys.argv[1:]))
