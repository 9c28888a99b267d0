"""Command lines that continue something: resume=RUN and sweep.resume=DIR, with the overrides stored there."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ssvae_cli.cli.overrides import CONFIG_DIR, override_name, override_value, quoted
from ssvae_cli.errors import UserError, require
from ssvae_cli.paths import existing_folder, literal


def stored_overrides(file: Path, asked: str, what: str) -> list[str]:
    """The overrides that a run or a sweep was composed from. Raises UserError where `file` holds none."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from ssvae_cli.instantiate.trust import refuse_smuggled

    folder = asked.split("=", 1)[1]
    existing_folder(folder, asked.split("=", 1)[0], f"give the folder of a {what}")
    if not file.is_file():
        from ssvae_cli.run_folder import instead_of_sweep

        of_sweep = what == "run" and instead_of_sweep(Path(folder))
        missing = f"not a {what} (it has no {file.relative_to(folder)}); give the folder of a {what}"
        raise UserError(f"{asked}: {f'{of_sweep}, or sweep.{asked}' if of_sweep else missing}")
    try:
        stored = OmegaConf.load(file)
        own = list(OmegaConf.to_container(stored["hydra"]["overrides"]["task"] if what == "sweep" else stored))
    except (OmegaConfBaseException, YAMLError, TypeError, ValueError, OSError):
        raise UserError(f"{asked}: {file} cannot be read as a list of overrides") from None
    refuse_smuggled(own, folder)
    return [o for o in own if override_name(o) not in ("resume", "trust", "sweep.resume")]  # give trust again


def resume_overrides(overrides: list[str]) -> list[str]:
    """With resume=RUN: RUN's own overrides first, then those given, into RUN's folder."""
    run = override_value("resume", overrides)
    if run is None:
        return overrides
    own = stored_overrides(Path(run) / ".hydra" / "overrides.yaml", f"resume={run}", "run")
    refuse_another("hydra.run.dir", f"resume={run}", overrides)
    refuse_other_commands(run)
    of_data = data_overrides(Path(run))
    own = [o for o in own if override_name(o) not in map(override_name, of_data)] + of_data
    replaced = {override_name(o) for o in overrides}
    inherited = [o for o in own if override_name(o) not in replaced]
    return [*overrides, *inherited, f"hydra.run.dir={quoted(literal(run))}"]


def refuse_other_commands(run: str) -> None:
    """Raise UserError for the folder of another command than `ssvae train`, the one that goes on."""
    from ssvae_cli.run_folder import recorded

    command = recorded(Path(run) / ".hydra" / "hydra.yaml", "hydra.job.config_name") or "train"
    require(command == "train", f"resume={run}: a folder of ssvae {command}; give the folder of a run of ssvae train")


def data_overrides(run: Path) -> list[str]:
    """Where the run's data are, if its own overrides lead there from another working folder alone."""
    from ssvae_cli.run_folder import data_elsewhere, recorded

    dataset = recorded(run / ".hydra" / "config.yaml", "dataset")
    places = data_elsewhere(run, dataset) if isinstance(dataset, dict) else {}
    return [f"dataset.{key}={quoted(literal(path))}" for key, path in places.items()]


def refuse_another(key: str, asked: str, overrides: list[str]) -> None:
    """Raise UserError where `key` names another folder than the one that is gone on with."""
    folder, given = asked.split("=", 1)[1], override_value(key, overrides)
    same = given is None or Path(given).resolve() == Path(folder).resolve()
    require(same, f"{key}={given}: {asked} goes on in its own folder; leave out {key}")


def sweep_overrides(overrides: list[str]) -> list[str]:
    """With sweep.resume=DIR: the sweep that DIR holds, in DIR, as words for the folder that it `began_in`. Raises
    UserError where another one is given."""
    folder = override_value("sweep.resume", overrides)
    if folder is None:
        return overrides
    own = stored_overrides(Path(folder) / "multirun.yaml", f"sweep.resume={folder}", "sweep")
    refuse_another("hydra.sweep.dir", f"sweep.resume={folder}", overrides)
    own_words = {"trust", "sweep.resume", "sweep.dry_run"}
    asked = [o for o in overrides if "=" in o and not o.startswith("-") and override_name(o) not in own_words]
    new = [o for o in asked if o not in own and not override_name(o).startswith("hydra")]
    require(not new, f"sweep.resume={folder}: {', '.join(new)} is not of that sweep, which is: {' '.join(own)}")
    options = [o for o in overrides if o not in (*own, "-m", "--multirun") and override_name(o) != "sweep.resume"]
    if began_in(folder):  # what is typed leads from the working folder, and the sweep goes on in that one
        folder, options = os.path.abspath(folder), with_full_config_dirs(options)
    folder = quoted(literal(folder))
    return ["-m", *options, *own, f"hydra.sweep.dir={folder}", "hydra.callbacks.runs.resume=true"]


def began_in(sweep: str) -> str | None:
    """The folder in which a sweep was started, so that relative paths of its data, of weights and of other runs lead
    where they led then; None where that is the working folder, or the sweep was moved since."""
    from ssvae_cli.run_folder import SWEEP, recorded

    started_in, own = (recorded(Path(sweep) / SWEEP, f"hydra.{key}") for key in ("runtime.cwd", "sweep.dir"))
    if not isinstance(started_in, str) or not isinstance(own, str) or started_in == os.getcwd():
        return None
    is_there = os.path.isdir(started_in) and Path(started_in, own).resolve() == Path(sweep).resolve()
    return started_in if is_there else None


def with_full_config_dirs(options: list[str]) -> list[str]:
    """Options of a command line, with the folders of a user's own YAML files in full."""
    full = []
    for before, option in zip(["", *options], options):
        name, is_one_word, folder = option.partition("=")
        if before in CONFIG_DIR:
            option = os.path.abspath(option)
        elif name in CONFIG_DIR and is_one_word:
            option = f"{name}={os.path.abspath(folder)}"
        full.append(option)
    return full


@contextlib.contextmanager
def working_in(folder: str | None) -> Iterator[None]:
    """Inside, that is the working folder; None: the one that is it anyway."""
    before = os.getcwd()
    if folder is not None:
        print(f"ssvae: the sweep goes on in {folder}, where it was started", file=sys.stderr)
        os.chdir(folder)
    try:
        yield
    finally:
        if folder is not None:
            os.chdir(before)
