"""The command `ssvae`: a subcommand, then Hydra's overrides. Imports nothing heavy until a job begins."""

import contextlib
import functools
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator

from ssvae_cli import __version__
from ssvae_cli.cli.completion import ZSH_LOADS, completing, line_for_hydra
from ssvae_cli.cli.help import groups, keys, options, usage
from ssvae_cli.cli.hydra_errors import one_line
from ssvae_cli.cli.overrides import override_value, overrides_of, plain_path
from ssvae_cli.cli.resume import began_in, resume_overrides, sweep_overrides, working_in
from ssvae_cli.cli.streams import open_streams
from ssvae_cli.cli.suggestions import refuse_unknown_options
from ssvae_cli.cli.suiting import suiting_overrides
from ssvae_cli.distributed.launch import is_worker, wait_for_rank_zero, worker_overrides
from ssvae_cli.distributed.threads import set_count, set_wait
from ssvae_cli.errors import PartError, UserError, allowed, cause_of, require
from ssvae_cli.files import require_claimed
from ssvae_cli.training.signals import SIGNALS, Stopped, leave

# A command: its configuration is conf/<name>.yaml, its job a function of (config, folder, choices).
COMMANDS = {
    "train": ("ssvae_cli.train:train", "train one configuration, or sweep several with -m"),
    "eval": ("ssvae_cli.eval:evaluate", "evaluate a run again, with fresh critics and pictures"),
    "embed": ("ssvae_cli.embed:embed", "features of data as .npz, or the encoder for other programs"),
    "finetune": ("ssvae_cli.finetune.command:finetune", "train a classifier from a run's encoder"),
    "runs": ("ssvae_cli.report.listing:list_runs", "list runs: setting, state and key figures"),
    "report": ("ssvae_cli.report.command:report", "runs as tables over seeds and figures: HTML, LaTeX, Markdown, CSV"),
    "verify": ("ssvae_cli.verify.command:verify", "hold the shipped classes to the paper's identities"),
    "mi": ("ssvae_cli.mi.command:mi", "mutual information of your own arrays x and y, by several estimators"),
    "bench": ("ssvae_cli.bench:bench", "time a training step, compared with the limit of this machine"),
}

MAY_SET_MODE = re.compile(r"\+*hydra\.(mode|searchpath)|-(?!m$|-multirun$)")  # a file of the user's own among them

USAGE = f"""ssvae {__version__}: self-supervised variational autoencoders, where the prior P(z, z') is a free choice

usage: ssvae COMMAND [PATH ...] [key=value ...]

commands:
{chr(10).join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items())}

  ssvae train prior=infonce                    one run
  ssvae train -m prior=infonce,mi seed=0,1,2   a sweep
  ssvae train -m seed=0,1 sweep.dry_run=true   the jobs of a sweep and their folders; nothing starts
  ssvae train resume=RUN                       continue where RUN stopped
  ssvae runs                                   the runs below outputs/
  ssvae mi FILE.npz                            I(x; y) of your own pairs
  ssvae train --help                           every group, choice and key
  ssvae train --cfg job                        the composed configuration
  eval "$(ssvae -sc install=bash)"             completion for bash (zsh, fish likewise)

options: -h, --help; --version"""


def main() -> None:
    """The entry point. Exit code 2 and one line for a user's mistake, 1 for a folder that is gone; a fault of the
    program keeps its traceback.

    A run that SIGINT or SIGTERM stops exits with 130 or 143; a command whose output is closed, as by `head`, with 141.
    """
    open_streams()
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup has it
    before = {number: signal.signal(number, leave) for number in heard}
    try:
        try:
            run(sys.argv[1:])
        except Exception:
            wait_for_rank_zero()
            leave.again()
            raise
        finally:
            sys.stdout.flush()  # here, where a reader that has gone is noticed
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes what is left at its end
        sys.exit(128 + signal.SIGPIPE)
    except Stopped as stopped:
        if not is_worker():
            print(f"ssvae: {stopped}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except UserError as error:
        if "COMP_LINE" not in os.environ:  # in the middle of a line that is being typed
            print("ssvae:", *str(error).splitlines(), file=sys.stderr)  # one line, whatever was given
        sys.exit(error.exit_code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        leave.asked = None


def run(arguments: list[str]) -> None:
    """Dispatch one command line, the program's name left out. Raises UserError for a mistake in it."""
    if "COMP_LINE" in os.environ and not (arguments and arguments[0] in COMMANDS):
        # Hydra's completion script passes no subcommand: it is in the line that is being completed.
        os.environ["COMP_LINE"] = re.sub(r"\s+", " ", os.environ["COMP_LINE"].lstrip())
        words = os.environ["COMP_LINE"].split(" ")
        if len(words) <= 2:
            print(*(c for c in COMMANDS if c.startswith(words[-1] if len(words) == 2 else "")), sep="\n")
            return
        arguments = [words[1], *arguments]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return
    if arguments[0] in ("-sc", "--shell-completion"):
        if "install=zsh" in arguments:  # Hydra's script for it is that for bash
            print(ZSH_LOADS)
        arguments = ["train", *arguments]  # the script that is installed serves every command
    if "--version" in arguments:
        print(f"ssvae {__version__}")
        return
    command, *words = arguments
    first = "; the command comes first, as in ssvae train prior=infonce" if re.search("^-|=", command) else ""
    require(command in COMMANDS, f"unknown command '{command}'; {allowed(command, COMMANDS)}{first}")
    hydra_main(command, words)


def hydra_main(command: str, words: list[str]) -> None:
    """Hand a command's words to Hydra, with errors of composition turned into one line each."""
    import hydra
    from omegaconf import OmegaConf

    refuse_unknown_options(command, words)
    overrides = overrides_of(command, words)
    set_wait()
    sweep = override_value("sweep.resume", overrides) if command == "train" else None
    if not ({"-m", "--multirun"} & set(overrides) or sweep):
        set_count()  # of a sweep each job sets its own: a launcher's processes share the cores
    for resolver in (usage, groups, keys, options):  # of hydra.help
        OmegaConf.register_new_resolver(f"ssvae.{resolver.__name__}", resolver, replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that exceptions come here instead of being printed there
    overrides = suiting_overrides(command, overrides)
    resumed = sweep_overrides(resume_overrides(overrides)) if command == "train" else overrides
    sys.argv = ["ssvae", *resumed]
    sys.argv += [plain_path(override, command) for override in worker_overrides(overrides)]
    asked = bool({"-sc", "--shell-completion"} & set(overrides))
    offered = completing(command) if asked else contextlib.nullcontext()
    if asked and "COMP_LINE" in os.environ:
        os.environ["COMP_LINE"] = line_for_hydra(os.environ["COMP_LINE"], command)
    from ssvae_cli.cli.guard import invocation
    from ssvae_cli.cli.job import start

    logging.raiseExceptions = False  # on a full disk, logging would print tracebacks
    invocation.begin(command)
    decorate = hydra.main(version_base="1.3", config_path="pkg://ssvae_cli.conf", config_name=command)
    try:
        with working_in(sweep and began_in(sweep)), composing_once(sys.argv[1:]), offered:
            run_hydra(decorate(functools.partial(start, command, COMMANDS[command][0])), command, overrides)
        if error := invocation.error:
            raise cause_of(error) or error
        if sweep := invocation.sweep:
            if sweep.print_failed(command):
                sys.exit(1)
            if command == "train":
                sweep.print_ended()
    except BaseException as error:
        invocation.restore()
        if isinstance(error, UserError | Stopped | KeyboardInterrupt) and not isinstance(error, PartError):
            invocation.withdraw()  # of a PartError the traceback is in the run's log
        raise
    finally:
        invocation.end()


@contextlib.contextmanager
def composing_once(words: list[str]) -> Iterator[None]:
    """Inside, Hydra composes nothing only to look at it: not the configuration to read hydra.mode, unless something may
    set it, nor the jobs of a sweep, which `job_folders` has seen."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra._internal.hydra import Hydra

    before, validate = Hydra.get_mode, BasicSweeper.validate_batch_is_legal
    BasicSweeper.validate_batch_is_legal = lambda *arguments: None
    if not any(MAY_SET_MODE.match(word) for word in words):
        Hydra.get_mode = lambda *arguments, **named: None
    try:
        yield
    finally:
        Hydra.get_mode, BasicSweeper.validate_batch_is_legal = before, validate


def run_hydra(entry: Callable[[], None], command: str, overrides: list[str]) -> None:
    """Let Hydra compose the configuration and run its jobs. Raises UserError where it cannot, in one line."""
    from hydra.errors import ConfigCompositionException

    from ssvae_cli.cli.dry_run import Listed
    from ssvae_cli.cli.guard import Refused, invocation
    from ssvae_cli.run_folder import begun_jobs

    try:
        return entry()
    except BrokenPipeError:
        raise
    except Listed:
        return None
    except Refused as refused:
        error = refused.error
    except Exception as raised:
        error = raised
    sweep, composing = invocation.sweep, isinstance(error, ConfigCompositionException)
    if sweep:
        require_claimed(sweep.folder)
    if sweep and begun_jobs(sweep.folder) and not composing:
        print(f"ssvae: the launcher stopped: {type(error).__name__}: {error}", file=sys.stderr)
        sweep.print_failed(command)
        sys.exit(1)
    raise cause_of(error) or UserError(one_line(error, command, overrides)) from error
