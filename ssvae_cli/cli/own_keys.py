"""The keys and groups that a command has, as its own YAML file and those that it builds on list them."""

import functools
from typing import Any

from omegaconf import OmegaConf

from ssvae_cli.instantiate.groups import conf


def own_keys(command: str) -> set[str]:
    """The keys and groups at the top of a command's configuration, and what its groups are put under."""
    values, groups = own_file(command)
    return {*values, *(group for group, _ in groups), *(package.split(".")[0] for _, package in groups if package)}


def mappings(command: str) -> set[str]:
    """The keys at the top of a command's configuration that hold settings, or parts by name: sweep, trackers."""
    values, groups = own_file(command)
    of_settings = {key for key, value in values.items() if isinstance(value, dict) and "_target_" not in value}
    return of_settings | {package.split(".")[0] for _, package in groups if "." in package}


@functools.cache
def own_file(command: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Of a command's YAML file and those that it builds on: the values by key; each group, and what it is put under."""
    values, groups = OmegaConf.to_container(OmegaConf.load(conf() / f"{command}.yaml")), []
    for line in values.pop("defaults"):
        if isinstance(line, dict):
            names = (name.partition("@") for name in line if not name.startswith("override "))
            groups += [(group, package) for group, _, package in names]
        elif line != "_self_":
            above, of_above = own_file(line)
            values, groups = above | values, of_above + groups
    return values, groups
