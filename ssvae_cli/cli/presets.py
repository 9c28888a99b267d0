"""What a preset, experiment=NAME, chooses and sets, as its YAML file and those that it stands on say.

Presets of a user's own folder are not read here: Hydra alone knows where they lie.
"""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ssvae_cli.cli.suggestions import has_key
from ssvae_cli.errors import UserError, allowed
from ssvae_cli.instantiate.groups import choices, conf
from ssvae_cli.instantiate.signatures import takes
from ssvae_cli.run_folder import flatten

GROUPS = {  # what the command needs to know before Hydra composes it, as a preset's defaults list writes it
    "override /dataset@_global_.dataset": "dataset",
    "override /encoder_prime@_global_.encoder_prime": "encoder_prime",
    "override /encoder@_global_.encoder_prime": "encoder@encoder_prime",
}


def choices_of(preset: str | None) -> dict[str, str | None]:
    """What a preset chooses of the data set and of g', by the group; what it chooses itself wins."""
    lines = [line for file in files_of(preset) for line in file.get("defaults", []) if isinstance(line, dict)]
    return {GROUPS[key]: choice for line in reversed(lines) for key, choice in line.items() if key in GROUPS}


def refuse_keys_of_preset(config: DictConfig, preset: str | None) -> None:
    """Raise UserError for a key that a preset sets in a part, and that the part, chosen otherwise, does not have."""
    for file in files_of(preset):
        for key in flatten({name: value for name, value in file.items() if isinstance(value, dict)}):
            above, _, name = key.rpartition(".")
            part = OmegaConf.select(config, above)
            if not isinstance(part, DictConfig) or "_target_" not in part or name not in part:
                continue
            if not takes(str(part._target_), name):
                having = ", ".join(f"{above}={choice}" for choice in choices(above) if has_key(above, name, choice))
                own = {key for key in part if takes(str(part._target_), key) and key[0] != "_"}
                fault = f"experiment={preset} sets {key}, which the {above} chosen here does not have"
                said = f"{fault}; {allowed(name, own)}" + (f"; these have it: {having}" if having else "")
                raise UserError(f"{said}; '~{key}' leaves it out")


def files_of(preset: str | None) -> Iterator[dict[str, Any]]:
    """A preset's file and those of the presets that it stands on, as they are written."""
    path = conf() / "experiment" / f"{preset}.yaml"
    if preset is None or not path.is_file():
        return
    file = OmegaConf.to_container(OmegaConf.load(path))
    yield file
    for line in file.get("defaults", []):
        if isinstance(line, str) and line != "_self_":
            yield from files_of(line)
