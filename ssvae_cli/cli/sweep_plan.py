"""What is settled of a sweep before its first job begins: how many jobs there are, and the names of their folders."""

import itertools
import os
import re
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ssvae_cli.cli.checks import check_types
from ssvae_cli.cli.overrides import quoted
from ssvae_cli.cli.unread_keys import refuse_unread_settings
from ssvae_cli.errors import UserError, counted, require
from ssvae_cli.run_folder import begun_jobs

# The settings of Hydra that name a job's folder: a sweep that is resumed keeps its own.
OVERRIDE_DIRNAME = ("kv_sep", "item_sep", "exclude_keys")
EXCLUDED = "hydra.job.config.override_dirname.exclude_keys"
NAMING = ("hydra.sweep.subdir", *(f"hydra.job.config.override_dirname.{key}" for key in OVERRIDE_DIRNAME))
NUMBERED = ("${hydra.job.num}", "${ssvae.job_name:}")  # each tells the jobs of a sweep apart
LONGEST_VALUE, LONGEST_NAME = 30, 120  # letters of the name of a job's folder; file systems allow 255 bytes


def job_name(*, _root_: DictConfig) -> str:
    """The job's number and what varies in its sweep, `0 prior=mi seed=1`, short and in letters safe for a folder."""
    overrides = OmegaConf.to_container(_root_.hydra.overrides.task)
    excluded = OmegaConf.select(_root_, EXCLUDED)
    varying = [named(*line.partition("=")[::2]) for line in overrides if line.partition("=")[0] not in excluded]
    return " ".join([str(_root_.hydra.job.num), *varying])[:LONGEST_NAME].rstrip()


def named(key: str, value: str) -> str:
    """`prior.critic=rbf` of `prior/critic` and `rbf`; of a long value, such as a path, the end."""
    return f"{safe(key.replace('/', '.'))}={safe(value)[-LONGEST_VALUE:]}"


def safe(text: str) -> str:
    """Letters and digits of ASCII and a few signs; a dash for what stands between them."""
    return "-".join(re.findall(r"[\w.+-]+", text, re.ASCII))


# Here, as the processes of a launcher compose a job's configuration again, and import this module with the callback.
OmegaConf.register_new_resolver("ssvae.job_name", job_name, replace=True)


def without_hydra(config: DictConfig) -> DictConfig:
    """The user's part of a composed configuration."""
    return OmegaConf.masked_copy(config, [k for k in config if k != "hydra"])


def raw(config: DictConfig, key: str):
    """A value of the configuration as it was written, interpolations unresolved."""
    parent, _, name = key.rpartition(".")
    return OmegaConf.to_container(OmegaConf.select(config, parent), resolve=False)[name]


def is_timed(config: DictConfig, key: str) -> bool:
    """Whether the name of a folder holds the time."""
    return "${now:" in str(raw(config, key))


def is_given(config: DictConfig, key: str) -> bool:
    """Whether a setting of Hydra's is on the command line."""
    return any(line.split("=")[0].lstrip("+~") == key for line in raw(config, "hydra.overrides.hydra"))


def override(config: DictConfig, key: str, value: str | bool | list[str]) -> None:
    """Set a key in the configuration of the sweep, and in that of each job, which Hydra composes again."""
    OmegaConf.update(config, key, value)
    config.hydra.overrides.hydra.append(f"++{key}={in_grammar(value)}")


def in_grammar(value: str | bool | list[str]) -> str:
    """A value as Hydra's grammar reads it back."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(in_grammar, value))}]"
    return quoted(value)


def parsed_overrides(lines: list[str]) -> list[Override]:
    """Overrides as Hydra reads them, with the choices that a glob such as prior=* stands for."""
    return OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(lines)


def name_by_what_varies(config: DictConfig) -> None:
    """Leave the keys that the whole sweep shares out of the names of its jobs' folders."""
    parsed = parsed_overrides(raw(config, "hydra.overrides.task"))
    shared = [given.get_key_element() for given in parsed if not given.is_sweep_override()]
    override(config, EXCLUDED, [*OmegaConf.select(config, EXCLUDED), *shared])


def job_overrides(config: DictConfig) -> list[list[str]] | None:
    """The overrides of each job; None where a sweeper searches, and decides on the way."""
    if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
        return None
    own = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parsed = parsed_overrides([*own, *raw(config, "hydra.overrides.task")])
    return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]


def job_folders(config: DictConfig, jobs: list[list[str]]) -> list[Path]:
    """The folder of each job, in that of the sweep. Every job is composed, once, as Hydra will compose it again.

    Raises UserError where a job's configuration has an unknown key or a value of a wrong type, and for a setting that
    no job of a new sweep reads."""
    loader, folders, composed = GlobalHydra.instance().config_loader(), [], []
    for number, overrides in enumerate(jobs):
        job = loader.load_sweep_config(config, overrides)
        with read_write(job.hydra), open_dict(job.hydra):
            job.hydra.job.num, job.hydra.job.id = number, str(number)
        HydraConfig.instance().set_config(job)
        check_types(without_hydra(job), job.hydra)
        composed.append((job, raw(job, "hydra.overrides.task")))
        folders.append(Path(job.hydra.sweep.dir, job.hydra.sweep.subdir))
    if not config.hydra.callbacks.runs.resume:
        refuse_unread_settings(config.hydra.job.config_name, composed)
    HydraConfig.instance().set_config(config)
    OmegaConf.set_readonly(config.hydra, False)  # which set_config ended, though the caller still writes
    return folders


def require_own_folders(config: DictConfig, folders: list[Path]) -> None:
    """Raise UserError where two jobs share a folder, one lies in the other's, or a job has none: the sweep's folder, or
    one above it, is no job's."""
    sweep = Path(os.path.abspath(config.hydra.sweep.dir))
    for number, folder in enumerate(folders):
        around = sweep.is_relative_to(os.path.abspath(folder))
        fault = f"hydra.sweep.subdir: job {number} would write to {folder}, which holds the sweep's own files"
        require(not around, f"{fault}; give a folder below it, as ${{hydra.job.num}}")
    if any(number in raw(config, "hydra.sweep.subdir") for number in NUMBERED):
        return  # they differ, without comparing all pairs
    absolute = [Path(os.path.normpath(folder.absolute())) for folder in folders]
    for (earlier, other), (number, folder) in itertools.combinations(enumerate(absolute), 2):
        apart = not folder.is_relative_to(other) and not other.is_relative_to(folder)
        subdir = os.path.relpath(folder, Path(config.hydra.sweep.dir).absolute())
        shared = f"hydra.sweep.subdir: jobs {earlier} and {number} of the sweep would share the folder {subdir}"
        require(apart, f"{shared}; tell them apart, as by ${{hydra.job.num}}")


def require_same_jobs(config: DictConfig, folders: list[Path]) -> None:
    """Raise UserError where a job of a sweep that is resumed has begun in another folder than the one it would now
    have: other values were written into multirun.yaml, or what a glob stands for has changed."""
    if is_timed(config, "hydra.sweep.subdir"):
        return
    sweep = Path(config.hydra.sweep.dir)
    for job in begun_jobs(sweep):
        now = os.path.relpath(folders[job.number], sweep) if job.number < len(folders) else None
        instead = f"and would be {now} now" if now else f"and the sweep now has {counted(len(folders), 'job')}"
        remedy = "give the sweep's own values back to multirun.yaml, and run others as another sweep"
        require(now == job.folder, f"sweep.resume={sweep}: job {job.number} was {job.folder}, {instead}; {remedy}")


def open_logs_late(config: DictConfig) -> None:
    """Let Hydra open no log file before its first line: the folder may not be the job's, or the job be finished."""
    for name, handler in ((config.hydra.job_logging or {}).get("handlers") or {}).items():
        if str(handler.get("class")).endswith("FileHandler"):
            override(config, f"hydra.job_logging.handlers.{name}.delay", True)


def keep_names(config: DictConfig, sweep: Path, command: str) -> None:
    """Name the folders of a sweep that is resumed as they were named. Raises UserError for another command's sweep."""
    stored = OmegaConf.load(sweep / "multirun.yaml")
    other = OmegaConf.select(stored, "hydra.job.config_name")
    require(other == command, f"sweep.resume={sweep} is a sweep of ssvae {other}; ssvae train resumes its own")
    for key in NAMING:
        before, now = raw(stored, key), raw(config, key)
        if now != before:
            if is_given(config, key):
                raise UserError(f"sweep.resume={sweep}: {key} was {before}, now {now}; leave it out")
            override(config, key, before)


def refuse_metric(config: DictConfig) -> None:
    """Raise UserError where a command that does not search is given what a search goes by."""
    given = next((line for line in raw(config, "hydra.overrides.task") if line.startswith("sweep.metric=")), "")
    require(not given, f"{given}: a search alone goes by it, as with -m hydra/sweeper=optuna; leave it out")


def require_validation(config: DictConfig) -> None:
    """Raise UserError where a search would read test, or has no number of validation to go by."""
    metric, given = config.sweep.metric, raw(config, "hydra.overrides.task")
    of_validation = isinstance(metric, str) and metric.endswith("/validation")
    fault = f"sweep.metric={metric}: a search goes by a number of validation"
    require(of_validation, f"{fault}; give one that ends in /validation, as probe/linear/validation")
    asked = any(line.replace(" ", "").lower() == "evaluation.test=true" for line in given)
    require(not asked, "evaluation.test=true: a search reads validation alone; `ssvae eval RUN` reads test of its best")
    read = any(config.evaluation.metrics.values())
    require(read, "evaluation has no metric for a search to go by; give evaluation=quick or evaluation=full")
