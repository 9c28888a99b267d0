"""Runs as Hydra sees them: a folder that holds no other run, and failures that are told at the end.

Hydra announces a failed job in its own way and drops the rest; here a failure is kept until every job has had its
turn, and `cli` says it in one place.
"""

import contextlib
import functools
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.errors import UserError, require
from ssvae_cli.trust import refuse_untrusted


def without_hydra(config: DictConfig) -> DictConfig:
    """The user's part of a composed configuration."""
    return OmegaConf.masked_copy(config, [k for k in config if k != "hydra"])


MAY_CHANGE = {"resume", "trust", "trainer.device"}  # between a run and its resumption; trainer.epochs only upward
failures: list[tuple[Path, Exception]] = []  # of this process, in the order they happened


class Refused(BaseException):
    """A UserError on its way through Hydra, which turns every Exception of a callback into a warning."""

    def __init__(self, error: UserError):
        self.error = error


def refusing(check):
    """Let a callback refuse the command with a UserError."""

    @functools.wraps(check)
    def callback(*args, **kwargs):
        try:
            check(*args, **kwargs)
        except UserError as error:
            raise Refused(error) from None

    return callback


class Guard(Callback):
    """Before Hydra writes anything: is the folder free, or the very run that is to be resumed?"""

    @refusing
    def on_run_start(self, config: DictConfig, **kwargs) -> None:
        run = Path(config.hydra.run.dir)
        if config.get("resume") is None:
            held = (run / "metrics.jsonl").exists()
            require(not held, f"hydra.run.dir={run} already holds a run; give another folder, or resume={run}")
        else:
            from ssvae_cli.checkpoint import load  # torch, which completion does without

            refuse_untrusted(without_hydra(config), run, trust=config.trust)
            refuse_other_config(run, load(run)["config"], without_hydra(config))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs) -> None:
        if job_return.status is JobStatus.FAILED:
            failures.append((Path(job_return.working_dir), job_return._return_value))
            job_return.status, job_return.return_value = JobStatus.COMPLETED, None

    @refusing
    def on_multirun_start(self, config: DictConfig, **kwargs) -> None:
        require(config.get("resume") is None, "resume goes on with one run; leave out -m")
        sweep = Path(config.hydra.sweep.dir)
        held = any(sweep.glob("*/metrics.jsonl"))
        require(not held, f"hydra.sweep.dir={sweep} already holds a sweep; give another folder")


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


def flatten(config: DictConfig | dict, prefix: str = "") -> dict[str, object]:
    """Nested config to dotted keys."""
    plain = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    flat = {}
    for key, value in plain.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def refuse_other_config(run: Path, saved: str, now: DictConfig) -> None:
    """Raise UserError, naming each key, where the configuration is not the one that the run was started with."""
    before, after = flatten(OmegaConf.create(saved)), flatten(now)
    changed = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        upward = key == "trainer.epochs" and isinstance(new, int) and new >= old
        if old != new and key not in MAY_CHANGE and not upward:
            changed.append(f"{key} was {old}, now {new}")
    if changed:
        allowed = ", ".join(sorted(MAY_CHANGE - {"resume", "trust"}))
        raise UserError(
            f"resume={run}: the configuration differs: {'; '.join(changed)}; "
            f"allowed to change: trainer.epochs upward, {allowed}"
        )
