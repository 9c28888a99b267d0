"""What Hydra cannot compose, as one line with the nearest spelling, which Hydra leaves out."""

import re
from collections.abc import Iterable
from pathlib import Path

from hydra._internal.utils import get_args_parser

from ssvae_cli.cli.overrides import override_name, override_value, separated
from ssvae_cli.errors import UserError, allowed
from ssvae_cli.instantiate.groups import choices, choices_with, known_groups


def refuse_unknown_options(arguments: list[str]) -> None:
    """Raise UserError for an option that is not Hydra's (a unique prefix is one): Hydra would print its whole usage."""
    known = get_args_parser()._option_string_actions
    for argument in separated(arguments, "--")[0]:
        word = argument.partition("=")[0]
        if re.match(r"--?[a-zA-Z]", word) and not any(option.startswith(word) for option in known):
            raise UserError(f"unknown option {word}; a setting is key=value; {allowed(word, known)}")


def one_line(error: Exception, command: str, overrides: list[str]) -> str:
    """Hydra's or OmegaConf's message as one line."""
    text = str(error)
    if override := getattr(error, "override", None):
        if re.fullmatch(r"[\w-]+", override):
            return f"'{override}' is no setting (key=value); ssvae {command} --help shows every group, choice and key"
        return (
            f"'{override}' is no override ({text.splitlines()[0]}); allowed: key=value, group=choice, +new=value, ~key"
        )
    if found := re.search(
        r"Could not find '([^']+)'.*Available options in '([^']+)':(.*?)Config search path", text, re.S
    ):
        path, group, listed = found.groups()
        choice = path.removeprefix(f"{group}/")
        again = any(override_value(key, overrides) for key in ("resume", "sweep.resume")) and not own_folders(overrides)
        hint = "; if it is a choice of your own, give its --config-dir again" if again else ""
        if group == "encoder_prime" and choice in choices("encoder"):
            hint = f"; an encoder of another kind is encoder@encoder_prime={choice}"
        return f"{group}={choice} is not a choice; {allowed(choice, listed.split())}{hint}"
    if found := re.search(r"Could not override '([\w/]+)(?:@([\w.]+))?'\.\s*(?:No match|Did you mean)", text):
        return missing_group(found[1], found[2], command)
    if found := re.search(r"Could not override '([^']+)'", text):
        if found[1] in known_groups():
            return f"{found[1]} is a group: it takes the name of a choice, and its keys are {found[1]}.KEY"
        group, _, part = found[1].rpartition("/")
        value = override_value(found[1], overrides)
        if value in choices(group):  # a part of a choice, which Hydra gives a package and not a group
            return f"unknown group {found[1]}; did you mean {group}@{group}.{part}={value}?"
        known = known_keys(found[1], command, overrides)
        whole = [key for key in known if key.endswith(f".{found[1]}")]
        return f"unknown key {found[1]}; {allowed(whole[0] if whole else found[1], whole or known)}"
    if found := re.search(r"Ambiguous value for argument '([^=]+=(.+))'$", text, re.M):
        return f"{found[1]}: several values are a sweep, ssvae {command} -m {found[1]}; a list is written [{found[2]}]"
    if "Config group override must be" in text:
        return f"a group takes the name of a choice, ssvae {command} --help lists them; given: {' '.join(overrides)}"
    headings = ("full_key", "object_type", "Set the environment variable", "See https")
    lines = [line.strip() for line in text.splitlines()]
    said = " ".join(line for line in lines if line and not line.startswith(headings))
    names_it = type(error).__module__.startswith(("hydra", "omegaconf"))
    return said if names_it else f"{said}; given: {' '.join(overrides)}"


def missing_group(group: str, package: str | None, command: str) -> str:
    """The line for a group that the configuration does not choose from: as it is typed, group or group@package."""
    if group not in known_groups():
        return f"unknown group {group}; {allowed(group, known_groups())}"
    parent, _, part = (package or group.replace("/", ".")).rpartition(".")
    having = choices_with(parent.replace(".", "/"), part) if parent else []
    if not having:
        return f"{group} is no group of ssvae {command}; ssvae {command} --help lists those that are"
    return f"the {parent} that was chosen has no {part}; these have: {', '.join(having)}"


def refuse_added_keys(config, overrides: list[str], groups: Iterable[str]) -> None:
    """Raise UserError for +key=value that no part has, which Hydra adds at the top, where nothing reads it, and for the
    key of g' that is g's.

    config: composed. groups: those of the configuration, added ones among them.
    """
    for override in overrides:
        key = override_name(override)
        if key == "encoder_prime.latent_dim":
            raise UserError(f"unknown key {key}: z' has the dimension of z; allowed: encoder.latent_dim")
        if override.startswith("+") and not override.startswith("++") and "." not in key and key not in groups:
            raise UserError(f"unknown key {key}; {allowed(key, set(config) - {key})}")


def own_folders(overrides: list[str]) -> list[str]:
    """What --config-dir was given."""
    return re.findall(r"(?:^|\0)(?:--config-dir|-cd)[=\0]([^\0]+)", "\0".join(overrides))


def known_keys(wrong: str, command: str, overrides: list[str]) -> list[str]:
    """The siblings of the mistaken key, and the keys of the same last name, under the choices that were made."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig, OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
        own = [f"file://{Path(folder).absolute()}" for folder in own_folders(overrides)]
        paths = [f"hydra.searchpath=[{','.join(own)}]"]
        chosen = [o for o in overrides if re.split("[@=]", o)[0] in known_groups() and "," not in o]
        try:
            config = compose(command, overrides=[*chosen, *paths])
        except Exception:  # the choices are themselves what is wrong
            config = compose(command, overrides=paths)
    parent, node = wrong, None
    while not isinstance(node, DictConfig):  # up to what there is
        parent = parent.rpartition(".")[0]
        node = OmegaConf.select(config, parent) if parent else config
    siblings = [f"{parent}.{key}".lstrip(".") for key in node if not key.startswith("_")]
    plain = OmegaConf.to_container(config)
    return siblings + [f"{group}.{wrong}" for group, keys in plain.items() if isinstance(keys, dict) and wrong in keys]
