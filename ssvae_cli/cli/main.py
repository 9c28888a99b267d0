"""The command `ssvae`: a subcommand, then Hydra's overrides. Imports nothing heavy until a job begins."""

import functools
import logging
import os
import pkgutil
import re
import signal
import sys
import traceback
from pathlib import Path

from ssvae_cli import __version__
from ssvae_cli.cli.help import groups, keys
from ssvae_cli.cli.hydra_errors import one_line, options_first, refuse_added_keys
from ssvae_cli.cli.resume import resume_overrides, sweep_overrides
from ssvae_cli.cli.suiting import suiting_overrides
from ssvae_cli.distributed.launch import wait_for_rank_zero, worker_overrides
from ssvae_cli.errors import PartError, UserError, allowed, machine_error, require, require_seed
from ssvae_cli.training.signals import Stopped, leave

# A command: its configuration is conf/<name>.yaml, its job a function of (config, folder, choices).
COMMANDS = {
    "train": ("ssvae_cli.train:train", "train one configuration, or sweep several with -m"),
    "eval": ("ssvae_cli.eval:evaluate", "evaluate a run again, with fresh critics and pictures"),
    "embed": ("ssvae_cli.embed:embed", "features of data as .npz, or the encoder for other programs"),
    "report": ("ssvae_cli.report:report", "runs as a table over seeds, plots and one HTML file"),
    "verify": ("ssvae_cli.verify.command:verify", "hold the shipped classes to the paper's identities"),
    "mi": ("ssvae_cli.mi.command:mi", "mutual information of your own arrays x and y, by several estimators"),
    "bench": ("ssvae_cli.bench:bench", "time a training step, compared with the limit of this machine"),
}

USAGE = f"""ssvae {__version__}: self-supervised variational autoencoders, where the prior P(z, z') is a free choice

usage: ssvae COMMAND [key=value ...]

commands:
{chr(10).join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items())}

  ssvae train prior=infonce                    one run
  ssvae train -m prior=infonce,mi seed=0,1,2   a sweep
  ssvae train resume=RUN                       continue where RUN stopped
  ssvae mi data=FILE.npz                       I(x; y) of your own pairs
  ssvae train --help                           every group, choice and key
  ssvae train --cfg job                        the composed configuration
  eval "$(ssvae -sc install=bash)"             completion for bash (zsh, fish likewise)

options: -h, --help; --version"""


def main() -> None:
    """The entry point. Exit code 2 and one line for a user's mistake; a fault of the program keeps its traceback.

    A run that SIGINT or SIGTERM stops exits with 130 or 143; a command whose output is closed, as by `head`, with 141.
    """
    before = signal.signal(signal.SIGTERM, leave)
    try:
        run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left at its end
        sys.exit(128 + signal.SIGPIPE)
    except Stopped as stopped:
        print(f"ssvae: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        print("ssvae: interrupted", file=sys.stderr)
        sys.exit(130)
    except UserError as error:
        wait_for_rank_zero()
        print("ssvae:", *str(error).splitlines(), file=sys.stderr)  # one line, whatever was given
        sys.exit(2)
    finally:
        signal.signal(signal.SIGTERM, before)


def run(arguments: list[str]) -> None:
    """Dispatch one command line, the program's name left out. Raises UserError for a mistake in it."""
    if "COMP_LINE" in os.environ and not (arguments and arguments[0] in COMMANDS):
        # Hydra's completion script passes no subcommand: it is in the line that is being completed.
        words = os.environ["COMP_LINE"].split(" ")
        if len(words) <= 2:
            print(*(c for c in COMMANDS if c.startswith(words[-1] if len(words) == 2 else "")), sep="\n")
            return
        arguments = [words[1], *arguments]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return
    if arguments[0] in ("-sc", "--shell-completion"):
        arguments = ["train", *arguments]  # the script that is installed serves every command
    if "--version" in arguments:
        print(f"ssvae {__version__}")
        return
    command, *overrides = arguments
    require(command in COMMANDS, f"unknown command '{command}'; {allowed(command, COMMANDS)}")
    hydra_main(command, overrides)


def hydra_main(command: str, overrides: list[str]) -> None:
    """Hand `overrides` to Hydra, with errors of composition turned into one line each."""
    import hydra
    from hydra.errors import ConfigCompositionException
    from omegaconf import OmegaConf

    overrides = options_first(overrides)
    for resolver in (groups, keys):  # of hydra.help
        OmegaConf.register_new_resolver(f"ssvae.{resolver.__name__}", resolver, replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that exceptions come here instead of being printed there
    overrides = suiting_overrides(command, overrides)
    sys.argv = ["ssvae", *sweep_overrides(resume_overrides(overrides))]
    sys.argv += worker_overrides(overrides)
    completing = {"-sc", "--shell-completion"} & set(overrides)
    if completing and "COMP_LINE" in os.environ:
        # Hydra takes the first word as the program's name, and the second as an override.
        line = os.environ["COMP_LINE"]
        os.environ["COMP_LINE"] = re.sub(r"^(\s*\S+)\s+" + command + r"\b", r"\1", line)
    from ssvae_cli.cli.sweeps import Refused, clear_unbegun, failures, print_ended, print_failed, sweeps

    logging.raiseExceptions = False  # on a full disk, logging would print tracebacks
    failures.clear()
    sweeps.clear()
    decorate = hydra.main(version_base="1.3", config_path="pkg://ssvae_cli.conf", config_name=command)
    entry = decorate(functools.partial(start, command))
    try:
        entry()
    except Refused as refused:
        raise refused.error from None
    except BrokenPipeError:
        raise
    except Exception as error:
        if user_error := cause_of(error):
            raise user_error from None
        composing = isinstance(error, ConfigCompositionException)  # of all jobs, before the first begins
        if not sweeps or composing:  # not from a job, whose errors are in `failures`
            if sweeps:
                clear_unbegun(sweeps[0].folder)
            raise UserError(one_line(error, command, overrides)) from error
        print(f"ssvae: the launcher stopped: {type(error).__name__}: {error}", file=sys.stderr)
        print_failed(sweeps[0])
        sys.exit(1)
    if failures:
        raise cause_of(failures[0]) or failures[0]
    if sweeps:
        if print_failed(sweeps[0]):
            sys.exit(1)
        if command == "train":
            print_ended(sweeps[0])


def cause_of(error: BaseException | None) -> UserError | None:
    """The UserError in a chain of exceptions, a fault of disk or memory included; None where there is none."""
    while error is not None:
        known = machine_error(error)
        if isinstance(known, UserError):
            return known
        error = error.__cause__ or error.__context__
    return None


def start(command: str, config) -> float | None:
    """One job of a command, in the folder that Hydra made for it; returns the number that a search optimises."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from ssvae_cli.cli.sweeps import metric_of
    from ssvae_cli.instantiate.trust import refuse_untrusted
    from ssvae_cli.run_folder import (
        CHECKPOINT,
        clear_unstarted,
        has_ended,
        is_finished,
        store_overrides,
    )
    from ssvae_cli.training.checkpoint import refuse_other_run

    job, log = pkgutil.resolve_name(COMMANDS[command][0]), logging.getLogger("ssvae_cli")
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    sweeping = hydra_config.mode is RunMode.MULTIRUN
    searching = sweeping and not hydra_config.sweeper._target_.endswith(".BasicSweeper")
    try:
        refuse_added_keys(config, hydra_config.overrides.task, hydra_config.runtime.choices)
        for key in OmegaConf.missing_keys(config):
            raise UserError(f"{key} has no default; give {key}=...")
        trust = config.get("trust", False)
        require(isinstance(trust, bool), f"trust must be true or false, got {trust}")
        if "seed" in config:
            require_seed(config.seed)
        if sweeping and "sweep" in config:
            if is_finished(folder):
                log.info("%s is there already", folder)
                return metric_of(folder, config.sweep.metric) if searching else None
            if config.sweep.resume is not None:
                refuse_untrusted(config, folder, trust=config.trust)
            if (folder / CHECKPOINT).exists():  # sweep.resume, or a scheduler that starts the job again
                refuse_other_run(folder, config)
                config.resume = str(folder)
        elif config.get("resume") is not None:
            run, epochs = Path(config.resume), config.trainer.epochs
            if has_ended(run, epochs):
                log.info("%s has ended, after epoch %d; trainer.epochs=N goes on to epoch N", run, epochs)
                return None
            store_overrides(folder, config, hydra_config.overrides.task)
        job(config, folder, dict(hydra_config.runtime.choices))
    except (Stopped, KeyboardInterrupt) as stopped:
        number = stopped.number if isinstance(stopped, Stopped) else signal.SIGINT
        where = f"sweep.resume={folder.parent}" if sweeping else f"resume={folder}"
        resumable = command == "train" and (sweeping or (folder / CHECKPOINT).exists())
        raise Stopped(number, f"ssvae {command} {where}" if resumable else None) from None
    except PartError as error:  # of a user's own class: a line on the terminal, the traceback in the log alone
        file = log_traceback(error)
        raise (UserError(f"{error}; the traceback is in {file}") if file else error) from error
    except Exception as error:
        mistake = cause_of(error)
        if mistake is None and isinstance(error, OmegaConfBaseException):  # a key that was removed, or leads nowhere
            mistake = UserError(one_line(error, command, []))
        if mistake is None:
            log.error("%s", traceback.format_exc())
            raise
        if config.get("resume") is None:
            clear_unstarted(folder, hydra_config.job.name)
        raise mistake from error
    return metric_of(folder, config.sweep.metric) if searching and "sweep" in config else None


def log_traceback(error: PartError) -> str | None:
    """Write the traceback behind a line to the job's log file, and to it alone; returns the file, None without one."""
    record = logging.LogRecord("ssvae_cli", logging.ERROR, __file__, 0, "%s", (traceback.format_exc(),), None)
    files = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    for handler in files:
        handler.handle(record)
    return files[0].baseFilename if files else None
