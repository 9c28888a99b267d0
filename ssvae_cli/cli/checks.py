"""What a command refuses of its configuration before torch is loaded, and before anything is written."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ssvae_cli.cli.presets import refuse_keys_of_preset
from ssvae_cli.cli.unread_keys import refuse_unread_keys
from ssvae_cli.errors import UserError, require_bool, require_device, require_seed
from ssvae_cli.instantiate.first_checks import check_call, check_values
from ssvae_cli.instantiate.signatures import check_plain
from ssvae_cli.instantiate.source import definition
from ssvae_cli.instantiate.types import require_part
from ssvae_cli.paths import existing_file, expanded, names_file
from ssvae_cli.run_folder import checkpoint_of, flatten


def check_types(config: DictConfig, hydra: DictConfig) -> None:
    """Raise UserError for keys that are unknown or have no value, and for values of a wrong type."""
    given = OmegaConf.to_container(hydra.overrides)  # as they are written: ${ in a path stays
    overrides = [override for kind in given.values() for override in kind]  # of the command, and of Hydra
    refuse_unread_keys(config, overrides, hydra.job.config_name, hydra.runtime.choices)
    refuse_keys_of_preset(config, hydra.runtime.choices.get("experiment"))
    for key in OmegaConf.missing_keys(config):
        raise UserError(f"{key} has no default; give {key}=...")
    require_bool(trust=config.get("trust", False))
    if "seed" in config:
        require_seed(config.seed)
    if "device" in config:
        require_device(config.device)
    for group, choice in hydra.runtime.choices.items():
        key = group.split("@")[-1].replace("/", ".")
        value = None if group.startswith("hydra/") else OmegaConf.select(config, key)
        if choice is not None and value not in (None, choice):  # g' is its choice
            require_part(value, key)
    check_plain(OmegaConf.to_container(config))


def check(target: str, config: DictConfig, hydra: DictConfig, *, goes_on: bool) -> None:
    """Raise UserError as `check_types`, for files and runs that are not there, and for values that the command
    `target`, or the constructor that they go to, refuses in its first statements.

    goes_on: from its own checkpoint, which has the weights that another run gave it."""
    check_types(config, hydra)
    for key in ("run", *["init_from"] * (not goes_on)):
        if isinstance(run := config.get(key), str):
            checkpoint_of(Path(expanded(run, key)), key, config.get("checkpoint", "last"))
    files = {"data": config.get("data")}
    if not goes_on:
        weights = {key: value for key, value in flatten(config).items() if key.endswith(".weights")}
        files |= {key: value for key, value in weights.items() if isinstance(value, str) and names_file(value)}
    for key, file in files.items():
        if isinstance(file, str):
            existing_file(file, key)
    check_values(OmegaConf.to_container(config))
    check_call(definition(target.replace(":", ".")), {"cfg": config})
