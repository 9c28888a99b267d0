"""What Hydra calls: one run, or one job of a sweep, in a folder that is claimed for it."""

import contextlib
import logging
import os
import pkgutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ssvae_cli.cli.checks import check
from ssvae_cli.cli.guard import Refused, invocation
from ssvae_cli.cli.hydra_errors import one_line
from ssvae_cli.cli.sweeps import KILLED, assign_gpu, claim_job, clear_memory, metric_of
from ssvae_cli.cli.unread_keys import refuse_unread_settings
from ssvae_cli.distributed.threads import set_count, set_wait
from ssvae_cli.errors import PartError, UserError, cause_of, require
from ssvae_cli.files import is_gone, reading, require_claimed
from ssvae_cli.instantiate.own_faults import own_fault
from ssvae_cli.instantiate.trust import refuse_untrusted
from ssvae_cli.paths import shell_command, typed
from ssvae_cli.run_folder import CHECKPOINT, Job, has_ended, is_finished
from ssvae_cli.training.signals import Stopped, leave

log = logging.getLogger(__name__)


def start(command: str, target: str, config: DictConfig) -> float | None:
    """Run a command's function, `target`; returns the number that a search optimises.

    No Exception leaves it: Hydra would print it in its own way, and end the sweep."""
    hydra = HydraConfig.get()
    set_wait()
    set_count(allotted=hydra.launcher.get("cpus_per_task"))
    if hydra.mode is RunMode.MULTIRUN:
        return start_job(command, target, config, hydra)
    folder, goes_on = Path(hydra.runtime.output_dir), config.get("resume") is not None
    try:
        require_log_files()
        check(target, config, hydra, goes_on=goes_on)
        if not goes_on:
            refuse_unread_settings(command, [(config, OmegaConf.to_container(hydra.overrides.task))])
        elif has_ended(Path(config.resume), config.trainer.epochs):
            ended = f"{config.resume} has ended, after epoch {config.trainer.epochs}"
            print(f"{ended}; trainer.epochs=N goes on to epoch N", file=sys.stderr)
            return None
        if invocation.claim:  # a process that torchrun started besides rank zero has none
            invocation.claim.store(records(config, hydra))
        resume = f"resume={typed(folder)}" if command == "train" else None
        call(target, config, folder, hydra, lambda: resume if (folder / CHECKPOINT).exists() else None)
    except Exception as error:
        invocation.error = mistake_of(error, hydra) or error
    return None


def start_job(command: str, target: str, config: DictConfig, hydra: DictConfig) -> float | None:
    """As `start`, for a job of a sweep, whose end is written to the sweep's folder."""
    clear_memory()
    sweep, folder = Path(hydra.sweep.dir), Path(hydra.runtime.output_dir)
    searching = "sweep" in config and not hydra.sweeper._target_.endswith(".BasicSweeper")
    if searching:
        OmegaConf.update(config, "evaluation.test", False, force_add=True)  # choices are made on validation
    job = {"number": hydra.job.num, "folder": os.path.relpath(folder, sweep)}
    claim = None
    try:
        claim = claim_job(sweep, hydra.job.num, folder)
        if is_finished(folder):
            from ssvae_cli.training.checkpoint import refuse_other_config

            stored = folder / ".hydra" / "config.yaml"
            with reading(stored, f"{stored} is damaged; ssvae report leaves out the run, which has ended"):
                refuse_other_config(folder, stored.read_text("utf-8"), config)
            print(f"ssvae: {folder} is there already", file=sys.stderr)
        else:
            Job(**job, is_own=True, failed=KILLED).save(sweep)
            require_log_files()
            check(target, config, hydra, goes_on=(folder / CHECKPOINT).exists())
            claim.store(records(config, hydra))
            if hydra.callbacks.runs.resume:
                refuse_untrusted(config, folder, trust=config.trust)
            if (folder / CHECKPOINT).exists():  # sweep.resume, or a scheduler that starts the job again
                from ssvae_cli.training.checkpoint import refuse_other_run

                refuse_other_run(folder, config)
                config.resume = str(folder)
            assign_gpu(hydra.job.num)
            call(target, config, folder, hydra, lambda: f"sweep.resume={typed(sweep)}" if command == "train" else None)
        Job(**job, is_own=True, failed=None).save(sweep)
        return metric_of(folder, config.sweep.metric) if searching else None
    except (Exception, SystemExit) as raised:
        error = mistake_of(raised, hydra) or raised
        if claim:
            claim.restore()
        said = f"exit code {error.code}" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        if is_gone(sweep):  # Hydra would make folders for the jobs that follow
            raise Refused(raised) from None
        with contextlib.suppress(OSError, UserError):  # on a full disk the job stays as one that was killed
            Job(**job, is_own=claim is not None, failed=said).save(sweep)
        return None
    except BaseException:  # the sweep is stopped
        if claim:
            claim.restore()
        raise
    finally:
        if claim:
            claim.end()


def require_log_files() -> None:
    """Raise UserError where a file that hydra.job_logging names cannot be made, as its first line would open it."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            file = Path(handler.baseFilename)
            fits = file.parent.is_dir() and not file.is_dir()
            require(fits, f"hydra.job_logging: {file} cannot be a log file; give a file in a folder that exists")


def records(config: DictConfig, hydra: DictConfig) -> dict[str, str]:
    """The files of .hydra/, with Hydra's own names."""
    texts = {"overrides.yaml": hydra.overrides.task, "config.yaml": config, "hydra.yaml": {"hydra": hydra}}
    return {name: OmegaConf.to_yaml(content) for name, content in texts.items()}


def call(target: str, config: DictConfig, folder: Path, hydra: DictConfig, resume: Callable[[], str | None]) -> None:
    """The command's function in its folder; its errors as the user is to see them.

    resume: gives the override that resumes it once it is stopped, or None."""
    try:
        try:
            pkgutil.resolve_name(target)(config, folder, dict(hydra.runtime.choices))
        except (Exception, SystemExit) as error:  # the second of a part that calls sys.exit
            leave.again()
            require_claimed(folder)
            if mistake_of(error, hydra) is None and (fault := own_fault(error, config)):
                raise fault from error
            raise
    except (Stopped, KeyboardInterrupt) as stopped:
        number = stopped.number if isinstance(stopped, Stopped) else signal.SIGINT
        again = resume()
        raise Stopped(number, again and shell_command("ssvae", "train", again)) from None
    except PartError as error:  # of a user's own class: a line on the terminal, the traceback in the log alone
        file = log_traceback(error)
        raise (PartError(f"{error}; the traceback is in {file}") if file else error) from error
    except Exception as error:
        if mistake_of(error, hydra) is None:
            log.error("%s", traceback.format_exc())
        raise


def mistake_of(error: BaseException, hydra: DictConfig) -> UserError | None:
    """The user's mistake behind an error, a key that was removed or leads nowhere among them; None for a fault."""
    if (mistake := cause_of(error)) is None and isinstance(error, OmegaConfBaseException):
        return UserError(one_line(error, hydra.job.config_name, OmegaConf.to_container(hydra.overrides.task)))
    return mistake


def log_traceback(error: PartError) -> str | None:
    """Write the traceback behind a line to the job's log file, and to it alone; returns the file, None without one."""
    record = logging.LogRecord("ssvae_cli", logging.ERROR, __file__, 0, "%s", (traceback.format_exc(),), None)
    files = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    for handler in files:
        handler.handle(record)
    return files[0].baseFilename if files else None
