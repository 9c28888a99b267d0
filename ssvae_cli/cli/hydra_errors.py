"""What Hydra cannot compose, as one line."""

import re
from collections.abc import Iterable

from omegaconf.errors import InterpolationResolutionError

from ssvae_cli.cli.overrides import AS_REFERENCE, ONE_FOLDER, PATH_KEY, SETTING, hydra_value, override_name, quoted
from ssvae_cli.cli.suggestions import left_out, unknown_choice, unknown_key
from ssvae_cli.errors import UserError, allowed
from ssvae_cli.instantiate.groups import choices, choices_with, known_groups
from ssvae_cli.paths import literal, shell_command, shell_word


def one_line(error: Exception, command: str, overrides: list[str]) -> str:
    """Hydra's or OmegaConf's message as one line."""
    text = str(error)
    if override := getattr(error, "override", None):
        return unreadable(override, command)
    if found := re.search(
        r"Could not find '([^']+)'.*Available options in '([^']+)':(.*?)Config search path", text, re.S
    ):
        path, group, listed = found.groups()
        return unknown_choice(group, path.removeprefix(f"{group}/"), listed.split(), overrides)
    if found := re.search(r"Could not override '([\w/]+)(?:@([\w.]+))?'\.\s*(?:No match|Did you mean)", text):
        return missing_group(found[1], found[2], command)
    if found := re.search(r"Could not override '([^']+)'", text):
        return unknown_key(found[1], command, overrides)
    if found := re.search(r"Ambiguous value for argument '(([^=]+)=(.+))'$", text, re.M):
        given, key, value = found.groups()
        sweep, one = shell_command("ssvae", command, "-m", given), shell_word(f"{key}={quoted(literal(value))}")
        return (
            f"{given}: several values are a sweep, {sweep}; a list is written [{value}]; one word with a comma: {one}"
        )
    if found := re.search(r"Could not delete from config\. '([^']+)' does not exist", text):
        return unknown_key(found[1], command, overrides)
    if re.search(r"Key '[^']+' is not in struct", text) and f"~{error.full_key}" in overrides:
        return left_out(error.full_key)
    if "Config group override must be" in text:
        return f"a group takes the name of a choice, ssvae {command} --help lists them; given: {' '.join(overrides)}"
    headings = ("full_key", "object_type", "Set the environment variable", "See https")
    lines = [line.strip() for line in text.splitlines()]
    said = " ".join(line for line in lines if line and not line.startswith(headings))
    if isinstance(error, InterpolationResolutionError):
        return unresolved(said, error.full_key, overrides)
    names_it = type(error).__module__.startswith(("hydra", "omegaconf"))
    return said if names_it else f"{said}; given: {' '.join(overrides)}"


def unreadable(override: str, command: str) -> str:
    """The line for an override that is no sentence of Hydra's grammar."""
    key, equals, value = override.partition("=")
    if not equals or not SETTING.match(override):
        see = f"ssvae {command} --help shows every group, choice and key"
        return f"'{override}' is no setting (key=value, group=choice, +new=value, ~key); {see}"
    as_text = shell_word(f"{key}={quoted(literal(value))}")
    return f"{override}: the value cannot be read; as text, between quotes: {as_text}; a list is written [a,b]"


def unresolved(said: str, key: str | None, overrides: list[str]) -> str:
    """The line for a ${...} that leads nowhere, with the override that makes mere characters of it in a path's name."""
    named = re.findall(r"'([^']+)'", said)
    for override in overrides:
        name, value = override_name(override), override.partition("=")[2]
        if "${" not in value or name != key and not any(word in value for word in named):
            continue
        if ONE_FOLDER.fullmatch(name):
            return f"{name}: {said}; {AS_REFERENCE}"
        if PATH_KEY.fullmatch(name):
            parsed = hydra_value(value)
            written = shell_word(f"{name}={quoted(literal(getattr(parsed, 'text', value)))}")
            return f"{name}: {said}; a name with ${{ in it is written {written}"
    return f"{key}: {said}" if key else said


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
    """Raise UserError for +key=value that no part has, which Hydra adds at the top, where nothing reads it, for ~group
    of one that the command needs, for the key of g' that is g's, and for two choices of g'.

    config: composed. groups: those of the configuration, added ones among them.
    """
    given = {override_name(override): override for override in overrides if not override.startswith("~")}
    if {"encoder_prime", "encoder@encoder_prime"} <= set(given):
        both = f"{given['encoder_prime']} and {given['encoder@encoder_prime']}"
        raise UserError(f"{both}: each chooses g'; give one of the two")
    for override in overrides:
        key = override_name(override)
        if key == "encoder_prime.latent_dim":
            raise UserError(f"unknown key {key}: z' has the dimension of z; allowed: encoder.latent_dim")
        if override.startswith("~") and key in known_groups() and "/" not in key and key not in config:
            raise UserError(f"~{key} leaves out what the command needs; {allowed(key, choices(key))}")
        if override.startswith("+") and not override.startswith("++") and "." not in key and key not in groups:
            raise UserError(f"unknown key {key}; {allowed(key, set(config) - {key})}")
