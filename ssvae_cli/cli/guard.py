"""Hydra's callback: before Hydra writes anything, the folder of the run or the sweep is claimed.

What the callback learns of a command is kept in `invocation`, for the one command that this process was started for.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ssvae_cli.cli import dry_run
from ssvae_cli.cli.claim import Claim, claim_again, claim_new, claim_timed, is_left_by
from ssvae_cli.cli.overrides import WRITES_NOTHING
from ssvae_cli.cli.sweep_plan import (
    is_given,
    is_timed,
    job_folders,
    job_overrides,
    keep_names,
    name_by_what_varies,
    open_logs_late,
    override,
    raw,
    refuse_metric,
    require_own_folders,
    require_same_jobs,
    require_validation,
    without_hydra,
)
from ssvae_cli.cli.sweeps import Sweep
from ssvae_cli.distributed.launch import is_worker
from ssvae_cli.errors import UserError, require
from ssvae_cli.paths import shell_word, typed
from ssvae_cli.run_folder import SWEEP, holds_run


@dataclass
class Invocation:
    """One command: the folder that it claimed, the sweep that it is, the error that ended its run."""

    command: str = ""
    claim: Claim | None = None
    sweep: Sweep | None = None
    error: Exception | None = None

    def begin(self, command: str) -> None:
        """A command without a folder yet."""
        self.__init__(command)

    def restore(self) -> None:
        """Put back the records of a run that did not go on."""
        if self.claim:
            self.claim.restore()

    def withdraw(self) -> None:
        """Remove what the command made, as long as it has written nothing into it."""
        if self.claim:
            self.claim.withdraw()

    def end(self) -> None:
        """Let the folder go."""
        if self.claim:
            self.claim.end()


invocation = Invocation()


class Refused(BaseException):
    """An error on its way through Hydra, which turns every Exception of a callback into a warning."""

    def __init__(self, error: Exception):
        self.error = error


def refusing(check):
    """Let a callback refuse the command by raising."""

    @functools.wraps(check)
    def callback(self, config: DictConfig, **kwargs):
        try:
            HydraConfig.instance().set_config(config)  # for ${hydra:...} in the name of a folder
            with read_write(config.hydra), open_dict(config.hydra):
                check(self, config)
        except Exception as error:
            raise Refused(error) from None

    return callback


class Guard(Callback):
    """Claims the folder of a command. resume: the sweep is there already, as sweep.resume=DIR says."""

    def __init__(self, resume: bool = False):
        self.resume = resume

    @refusing
    def on_run_start(self, config: DictConfig) -> None:
        refuse_settings(config)
        require(not dry_run.is_asked(config), "sweep.dry_run=true lists the jobs of a sweep; give -m as well")
        if is_worker() or invocation.command in WRITES_NOTHING:
            return
        if config.get("resume") is None:
            refuse_metric(config)
        folder, command, job = Path(config.hydra.run.dir), invocation.command, config.hydra.job.name
        if config.get("resume") is not None:
            from ssvae_cli.training.checkpoint import refuse_other_run  # torch, which completion does without

            require(command == "train", f"resume={config.resume}: only ssvae train goes on with a run; leave it out")
            refuse_other_run(folder, without_hydra(config))
            invocation.claim = claim_again(folder, "resume")
        elif is_timed(config, "hydra.run.dir"):
            invocation.claim = claim_timed(folder, "hydra.run.dir")
            config.hydra.run.dir = str(folder.with_name(invocation.claim.folder.name))
        else:
            holds = command == "train" and holds_run(folder)
            resume = shell_word(f"resume={typed(folder)}")
            require(not holds, f"hydra.run.dir={folder} already holds a run; give another folder, or {resume}")
            overrides = raw(config, "hydra.overrides.task")
            is_own = functools.partial(is_left_by, command, job, overrides, folder)
            invocation.claim = claim_new(folder, "hydra.run.dir", is_own=is_own)
        invocation.claim.will_make(f"{job}.log")

    @refusing
    def on_multirun_start(self, config: DictConfig) -> None:
        refuse_settings(config)
        lists = invocation.command in WRITES_NOTHING
        require(not lists, f"ssvae {invocation.command} writes nothing, and has no sweep; leave out -m")
        require(config.get("resume") is None, "resume goes on with one run; leave out -m, or give sweep.resume=DIR")
        asked = OmegaConf.select(config, "sweep.resume")
        require(asked is None, f"sweep.resume={asked} is for the command line of ssvae train")
        folder, setting = Path(config.hydra.sweep.dir), "hydra.sweep.dir"
        if self.resume:
            keep_names(config, folder, invocation.command)
        elif "${ssvae.job_name:}" in raw(config, "hydra.sweep.subdir"):
            name_by_what_varies(config)
        listing, jobs = dry_run.is_asked(config), job_overrides(config)
        jobs = dry_run.as_begun(jobs) if listing else jobs
        require(jobs != [], f"{' '.join(raw(config, 'hydra.overrides.task'))} is a sweep without a job")
        folders = job_folders(config, jobs or [])
        require_own_folders(config, folders)
        if self.resume and jobs is not None:
            require_same_jobs(config, folders)
        if jobs is None and "sweep" in config:
            require_validation(config)
        elif not self.resume:
            refuse_metric(config)
        open_logs_late(config)
        if not self.resume and not is_timed(config, setting) and (folder / SWEEP).exists():
            resume = shell_word(f"sweep.resume={typed(folder)}")
            remedy = f"give another folder{f', or {resume}' if invocation.command == 'train' else ''}"
            raise UserError(f"{setting}={folder} already holds a sweep; {remedy}")
        if listing:
            dry_run.list_jobs(folder, jobs, folders)
        if self.resume:
            invocation.claim = claim_again(folder, "sweep.resume")
        elif is_timed(config, setting):
            invocation.claim = claim_timed(folder, setting)
            folder = folder.with_name(invocation.claim.folder.name)
            override(config, setting, str(folder))
        else:
            invocation.claim = claim_new(folder, setting)
        invocation.claim.will_make(SWEEP)
        invocation.sweep = Sweep(folder, None if jobs is None else len(jobs))


def refuse_settings(config: DictConfig) -> None:
    """Raise UserError for settings of Hydra under which ssvae would not find its files, or the user's."""
    require(
        config.hydra.output_subdir is None and not is_given(config, "hydra.output_subdir"),
        "hydra.output_subdir: ssvae writes .hydra/ itself, and resume, eval and report read it; leave this setting out",
    )
    require(
        not config.hydra.job.chdir,
        "hydra.job.chdir=true: paths are relative to the folder in which the command is typed; leave this setting out, "
        "what is written goes to hydra.run.dir in any case",
    )
    name = config.hydra.job.name
    require("/" not in name, f"hydra.job.name={name}: the log file has this name, in the run's folder; leave out the /")
