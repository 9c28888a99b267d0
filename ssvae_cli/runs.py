"""A run's folder: never one that holds another run, never left behind by a run that could not begin."""

import contextlib
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.checkpoint import load, refuse_other_config
from ssvae_cli.errors import require


def without_hydra(config: DictConfig) -> DictConfig:
    """The user's part of a composed configuration."""
    return OmegaConf.masked_copy(config, [k for k in config if k != "hydra"])


class Guard(Callback):
    """Before Hydra writes anything: is the run's folder free, or the very run that is to be resumed?"""

    def on_run_start(self, config: DictConfig, **kwargs) -> None:
        run = Path(config.hydra.run.dir)
        if config.resume is None:
            require(not (run / "metrics.jsonl").exists(), f"hydra.run.dir={run} already holds a run; give another folder, or resume={run}")
        else:
            refuse_other_config(run, load(run)["config"], without_hydra(config))

    def on_multirun_start(self, config: DictConfig, **kwargs) -> None:
        require(config.resume is None, "resume goes on with one run; leave out -m")


def clear_unstarted(run: Path, job: str) -> None:
    """Remove what Hydra laid out for a run that was refused before its first step, and nothing else."""
    if (run / "metrics.jsonl").exists():
        return
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        (run / ".hydra" / name).unlink(missing_ok=True)
    (run / f"{job}.log").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a folder that is not empty stays
        (run / ".hydra").rmdir()
        run.rmdir()
