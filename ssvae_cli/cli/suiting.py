"""What a data set's file asks for, as overrides: vectors bring encoder=mlp pairs=noise, images the defaults.

A data set's YAML file brings the choices that always suit it. Where only the file tells, the data set's module has
`suits(path)`, which gives {group: choice}; these are added as the user would have typed them, and stored with the run.
A preset's choice of the data set and of g' counts as the user's.
What a module has is read from its source, and the module alone that defines `suits` is imported: modules load torch.
"""

import os
import pkgutil
from collections.abc import Iterable
from pathlib import Path

from ssvae_cli.cli.overrides import override_name, override_value
from ssvae_cli.cli.presets import choices_of
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.instantiate.source import definition

PRIME = "encoder@encoder_prime"  # g' of another kind than g


def suiting_overrides(command: str, overrides: list[str]) -> list[str]:
    """The overrides, and those that suit the file of the data set; of groups that the user chose, none."""
    of_preset = choices_of(override_value("experiment", overrides))
    data_set = [f"dataset={of_preset['dataset']}"] if "dataset" in of_preset else []
    if command not in ("train", "bench") or file_of("dataset", data_set + overrides) is None:
        return overrides
    return [*overrides, *suiting(data_set + overrides, of_preset)]


def suits_file(command: str, override: str, overrides: list[str]) -> bool:
    """Whether the data set's file brings that override of these by itself."""
    return override in suiting_overrides(command, [other for other in overrides if other != override])


def suiting(overrides: list[str], of_preset: Iterable[str]) -> list[str]:
    """What suits the file of the data set. overrides: one of the data set among them. of_preset: the groups of g' that
    a preset chooses."""
    paths = paths_of(overrides)
    suits = definition(f"{module_of('dataset', overrides)}.suits")
    there = paths and all(os.path.exists(os.path.expanduser(path)) for path in paths)
    wanted = list(map(pkgutil.resolve_name(f"{suits.module}:{suits.node.name}"), paths)) if suits and there else []
    if any(choices != wanted[0] for choices in wanted):  # of a sweep over unlike files
        return []
    choices: dict[str, str | None] = wanted[0] if wanted else {}
    if definition(f"{module_of('pairs', overrides)}.encodes_steps"):
        brought = step_encoder(overrides, choices)
        choices = {"encoder": brought, PRIME: None} if brought else {"encoder": "mlp"}
    chosen = {*map(override_name, overrides), *of_preset}
    if "encoder_prime" in chosen and of_data_set(overrides):  # this g' takes the place of the data set's
        choices[PRIME] = None
    added = [f"{group}={choice}" for group, choice in choices.items() if choice and not is_chosen(group, chosen)]
    left_out = [f"~{group}" for group, choice in choices.items() if choice is None and group not in chosen]
    return [*added, *left_out]


def is_chosen(group: str, chosen: set[str]) -> bool:
    """Whether a group, as encoder/frame or encoder@encoder_prime, is among those chosen, or what it is a part of, or
    what it is put under."""
    return bool({group, group.split("/")[0], group.split("@")[-1]} & chosen)


def file_of(group: str, overrides: list[str]) -> Path | None:
    """The YAML file that a group's override chooses; None where there is no such choice here."""
    choice = override_value(group, overrides)
    file = conf() / group / f"{choice}.yaml"
    return None if choice is None or "/" in choice or not file.is_file() else file


def module_of(group: str, overrides: list[str]) -> str | None:
    """The module of the class that a group's override chooses; None where there is no such choice here."""
    file = file_of(group, overrides)
    if file is None:
        return None
    from omegaconf import OmegaConf

    return OmegaConf.load(file)["_target_"].rpartition(".")[0]


def step_encoder(overrides: list[str], wanted: dict[str, str]) -> str | None:
    """The encoder of a single step that the data set's file, or its YAML, brings for g'; None for none."""
    return wanted.get(PRIME) or of_data_set(overrides)


def of_data_set(overrides: list[str]) -> str | None:
    """The encoder that the data set's YAML brings for g'; None for none."""
    from omegaconf import OmegaConf

    defaults = OmegaConf.load(conf() / "dataset" / f"{override_value('dataset', overrides)}.yaml").get("defaults", [])
    brought = [line.get("override /encoder@_global_.encoder_prime") for line in defaults if OmegaConf.is_dict(line)]
    return next(filter(None, brought), None)


def paths_of(overrides: list[str]) -> list[str]:
    """The values of dataset.path: several in a sweep, none where there is no such override or Hydra cannot read it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    given = [override for override in overrides if override_name(override) == "dataset.path"]
    try:
        (parsed,) = OverridesParser.create().parse_overrides(given[-1:])
    except (HydraException, ValueError):
        return []
    values = list(parsed.sweep_iterator()) if parsed.is_sweep_override() else [parsed.value()]
    return [str(getattr(value, "text", value)) for value in values]
