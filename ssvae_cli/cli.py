"""The command `ssvae`: a subcommand, then Hydra's overrides. Imports nothing heavy until a job begins."""

import functools
import os
import pkgutil
import re
import sys
import traceback
from pathlib import Path

from ssvae_cli import __version__
from ssvae_cli.errors import UserError, nearest, require

# A command: its configuration is conf/<name>.yaml, its job a function of (config, folder, choices).
COMMANDS = {
    "train": ("ssvae_cli.train:train", "train one configuration, or sweep several with -m"),
    "report": ("ssvae_cli.report:report", "runs as a table over seeds, plots and one HTML file"),
    "verify": ("ssvae_cli.verify:verify", "hold the shipped classes to the paper's identities"),
}

USAGE = f"""ssvae {__version__}: self-supervised variational autoencoders, where the prior P(z, z') is a free choice

usage: ssvae COMMAND [key=value ...]

commands:
{chr(10).join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items())}

  ssvae train prior=infonce                    one run
  ssvae train -m prior=infonce,mi seed=0,1,2   a sweep
  ssvae train resume=RUN                       go on where RUN stopped
  ssvae train --help                           every group, choice and key
  ssvae train --cfg job                        the composed configuration
  eval "$(ssvae -sc install=bash)"             completion for bash (zsh, fish likewise)

options: -h, --help; --version"""


def main() -> None:
    """The entry point. Exit code 2 and one line for a user's mistake; a fault of the program keeps its traceback."""
    try:
        run(sys.argv[1:])
    except KeyboardInterrupt:
        print("ssvae: interrupted", file=sys.stderr)
        sys.exit(130)
    except UserError as error:
        print(f"ssvae: {error}", file=sys.stderr)
        sys.exit(2)


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
    if arguments[0] == "--version":
        print(f"ssvae {__version__}")
        return
    command, *overrides = arguments
    require(command in COMMANDS, f"unknown command '{command}'; {nearest(command, COMMANDS)}")
    hydra_main(command, overrides)


def hydra_main(command: str, overrides: list[str]) -> None:
    """Hand `overrides` to Hydra, with errors of composition turned into one line each."""
    import hydra
    from hydra.errors import CompactHydraException, HydraException
    from omegaconf.errors import OmegaConfBaseException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that exceptions come here instead of being printed there
    sys.argv = ["ssvae", *resumed(overrides)]
    completing = {"-sc", "--shell-completion"} & set(overrides)
    if completing and "COMP_LINE" in os.environ:
        # Hydra takes the first word for the program: leave it one.
        line = os.environ["COMP_LINE"]
        os.environ["COMP_LINE"] = re.sub(r"^(\s*\S+)\s+" + command + r"\b", r"\1", line)
    from ssvae_cli.runs import Refused, failures

    failures.clear()
    decorate = hydra.main(version_base="1.3", config_path="pkg://ssvae_cli.conf", config_name=command)
    entry = decorate(functools.partial(start, command))
    try:
        entry()
    except Refused as refused:
        raise refused.error from None
    except (CompactHydraException, HydraException, OmegaConfBaseException) as error:
        if user_error := cause_of(error):
            raise user_error from None
        raise UserError(one_line(error, command, overrides)) from None
    if not failures:
        return
    if not {"-m", "--multirun"} & set(overrides):
        raise failures[0][1]
    for folder, error in failures:
        print(f"ssvae: {folder} failed: {type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)


def cause_of(error: BaseException | None) -> UserError | None:
    """The UserError behind a chain of exceptions, if there is one."""
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None


def resumed(overrides: list[str]) -> list[str]:
    """With resume=RUN: RUN's own overrides first, then those given, into RUN's folder."""
    runs = [o.split("=", 1)[1] for o in overrides if o.startswith("resume=")]
    if not runs or runs[-1] in ("", "null"):
        return overrides
    from omegaconf import OmegaConf

    from ssvae_cli.trust import refuse_smuggled

    run = Path(runs[-1])
    stored = run / ".hydra" / "overrides.yaml"
    require(run.is_dir(), f"resume={run}: no such folder; give the folder of a run")
    require(
        stored.is_file(), f"resume={run}: not a run (it has no {stored.relative_to(run)}); give the folder of a run"
    )
    own = list(OmegaConf.load(stored))
    refuse_smuggled(own, run)
    own = [o for o in own if o.split("=", 1)[0] not in ("resume", "trust")]  # trust is given anew each time
    given = {o.split("=", 1)[0].lstrip("+~") for o in overrides}
    kept = [o for o in own if o.split("=", 1)[0].lstrip("+~") not in given]
    return [*kept, *overrides, f"hydra.run.dir={run}"]


def one_line(error: Exception, command: str, overrides: list[str]) -> str:
    """Hydra's or OmegaConf's message as one line, with the nearest spelling that Hydra leaves out."""
    text = str(error)
    if override := getattr(error, "override", None):
        return (
            f"'{override}' is no override ({text.splitlines()[0]}); allowed: key=value, group=choice, +new=value, ~key"
        )
    if found := re.search(
        r"Could not find '([^']+)'.*Available options in '([^']+)':(.*?)Config search path", text, re.S
    ):
        path, group, listed = found.groups()
        choice = path.removeprefix(f"{group}/")
        return f"{group}={choice} is not a choice; {nearest(choice, listed.split())}"
    if found := re.search(r"Could not override '([^']+)'\.\s*No match in the defaults list", text):
        return f"unknown group {found[1]}; {nearest(found[1], known_groups())}"
    if found := re.search(r"Could not override '([^']+)'", text):
        return f"unknown key {found[1]}; {nearest(found[1], known_keys(found[1], command, overrides))}"
    noise = ("full_key", "object_type", "Set the environment variable", "See https")
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(noise))


def known_groups() -> list[str]:
    """The config groups of this package."""
    from importlib.resources import files

    conf = Path(str(files("ssvae_cli.conf")))
    return sorted({p.parent.relative_to(conf).as_posix() for p in conf.rglob("*.yaml")} - {"."})


def known_keys(wrong: str, command: str, overrides: list[str]) -> list[str]:
    """The keys that stand beside the mistaken one, under the choices that were made."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig, OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
        own = re.findall(r"(?:^|\0)(?:--config-dir|-cd)[=\0]([^\0]+)", "\0".join(overrides))
        paths = [f"hydra.searchpath=[{','.join(f'file://{Path(folder).absolute()}' for folder in own)}]"]
        chosen = [o for o in overrides if o.split("=")[0] in known_groups() and "," not in o]
        config = compose(command, overrides=[*chosen, *paths])
    parent, _, _ = wrong.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if not isinstance(node, DictConfig):
        node, parent = config, ""
    return [f"{parent}.{key}".lstrip(".") for key in node if not key.startswith("_")]


def start(command: str, config) -> None:
    """One job of a command, in the folder that Hydra made for it."""
    import logging

    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from ssvae_cli.runs import clear_unstarted

    job = pkgutil.resolve_name(COMMANDS[command][0])
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    try:
        for key in OmegaConf.missing_keys(config):
            raise UserError(f"{key} has no default; give {key}=...")
        job(config, folder, dict(hydra_config.runtime.choices))
    except UserError:
        if config.get("resume") is None:
            clear_unstarted(folder, hydra_config.job.name)
        raise
    except Exception:
        logging.getLogger("ssvae_cli").error("%s", traceback.format_exc())
        raise
