"""Command lines that continue something: resume=RUN and sweep.resume=DIR, with the overrides stored there."""

import contextlib
import os
from pathlib import Path

from hydra.core.override_parser.types import Sweep

from ssvae_cli.cli.overrides import hydra_value, override_name, override_value, quoted, unquoted
from ssvae_cli.errors import UserError, require
from ssvae_cli.paths import existing_folder, literal, shell_command


def stored_overrides(file: Path, asked: str, what: str) -> list[str]:
    """The overrides that a run or a sweep was composed from. Raises UserError where `file` holds none."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from ssvae_cli.instantiate.trust import refuse_smuggled

    folder = asked.split("=", 1)[1]
    existing_folder(folder, asked.split("=", 1)[0], f"give the folder of a {what}")
    missing = f"it has no {file.relative_to(folder)}"
    require(file.is_file(), f"{asked}: not a {what} ({missing}); give the folder of a {what}")
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
    of_data = data_overrides(Path(run))
    own = [o for o in own if override_name(o) not in map(override_name, of_data)] + of_data
    replaced = {override_name(o) for o in overrides}
    inherited = [o for o in own if override_name(o) not in replaced]
    return [*overrides, *inherited, f"hydra.run.dir={quoted(literal(run))}"]


def data_overrides(run: Path) -> list[str]:
    """Where the run's data are, if its own overrides lead there from another working folder alone."""
    from omegaconf import OmegaConf

    from ssvae_cli.run_folder import data_elsewhere

    with contextlib.suppress(Exception):  # what is no configuration is refused when it is compared
        dataset = OmegaConf.load(run / ".hydra" / "config.yaml").dataset
        return [f"dataset.{key}={quoted(literal(path))}" for key, path in data_elsewhere(run, dataset).items()]
    return []


def refuse_another(key: str, asked: str, overrides: list[str]) -> None:
    """Raise UserError where `key` names another folder than the one that is gone on with."""
    folder, given = asked.split("=", 1)[1], override_value(key, overrides)
    same = given is None or Path(given).resolve() == Path(folder).resolve()
    require(same, f"{key}={given}: {asked} goes on in its own folder; leave out {key}")


def sweep_overrides(overrides: list[str]) -> list[str]:
    """With sweep.resume=DIR: the sweep that DIR holds, in DIR. Raises UserError where another one is given."""
    folder = override_value("sweep.resume", overrides)
    if folder is None:
        return overrides
    own = stored_overrides(Path(folder) / "multirun.yaml", f"sweep.resume={folder}", "sweep")
    refuse_another("hydra.sweep.dir", f"sweep.resume={folder}", overrides)
    own_words = {"trust", "sweep.resume", "sweep.dry_run"}
    asked = [o for o in overrides if "=" in o and not o.startswith("-") and override_name(o) not in own_words]
    new = [o for o in asked if o not in own and not override_name(o).startswith("hydra")]
    require(not new, f"sweep.resume={folder}: {', '.join(new)} is not of that sweep, which is: {' '.join(own)}")
    full = with_full_paths(own, folder)
    options = [o for o in overrides if o not in (*own, "-m", "--multirun") and override_name(o) != "sweep.resume"]
    folder = quoted(literal(folder))
    return ["-m", *options, *full, f"hydra.sweep.dir={folder}", "hydra.callbacks.runs.resume=true"]


def with_full_paths(own: list[str], sweep: str) -> list[str]:
    """The overrides of a sweep, each relative path of its data that leads to files from the folder in which the sweep
    was started in full, where another one is the working folder.

    Raises UserError where the name of a job's folder holds such a path: in full, it would be another name."""
    from omegaconf import OmegaConf

    from ssvae_cli.run_folder import DATA_PATHS, SWEEP

    stored = OmegaConf.load(Path(sweep) / SWEEP)
    started_in = Path(OmegaConf.select(stored, "hydra.runtime.cwd") or Path.cwd())
    named_by_all = "override_dirname" in str(OmegaConf.to_container(stored.hydra.get("sweep") or OmegaConf.create()))
    if started_in == Path.cwd():
        return own
    full = []
    for override in own:
        key, value = override_name(override), override.partition("=")[2]
        is_named = isinstance(hydra_value(value), Sweep) or named_by_all
        paths = value.split(",") if isinstance(hydra_value(value), Sweep) else [unquoted(value)]
        places = [os.path.abspath(started_in / path) for path in paths if path and path[0] not in "/~"]
        if key in [f"dataset.{name}" for name in DATA_PATHS] and any(map(os.path.exists, places)):
            elsewhere = f"sweep.resume={sweep}: {override} leads from {started_in}, and names its jobs"
            require(not is_named, f"{elsewhere}; go on there, {shell_command('cd', str(started_in))}")
            override = f"{key}={quoted(literal(places[0]))}"
        full.append(override)
    return full
