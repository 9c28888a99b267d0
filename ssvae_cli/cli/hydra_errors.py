"""What Hydra cannot compose, as one line."""

import re
from collections.abc import Iterable

from hydra.core.override_parser.types import QuotedString
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from ssvae_cli.cli.overrides import (
    AS_REFERENCE,
    ONE_FOLDER,
    PATH_KEY,
    SETTING,
    hydra_value,
    override_name,
    own_keys,
    quoted,
)
from ssvae_cli.cli.suggestions import left_out, unknown_choice, unknown_key
from ssvae_cli.errors import UserError, allowed
from ssvae_cli.instantiate.groups import choices_with, conf, known_groups
from ssvae_cli.instantiate.signatures import requires, takes
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
    if found := re.search(r"Could not append to config\. An item is already at '([^']+)'", text):
        return already_there(found[1], overrides)
    if found := re.search(r"^Multiple values for ([\w/]+)|^([\w/]+) appears more than once", text):
        return already_there(found[1] or found[2], overrides)
    if found := re.search(r"force-add of config groups is not supported: '\+\+([^=@]+)(?:@([\w.]+))?=", text):
        is_there = found[1].split("/")[0] in own_keys(command)
        return already_there(found[1], overrides) if is_there else missing_group(found[1], found[2], command)
    deleted = [override_name(override) for override in overrides if override.startswith("~")]
    taken_out = re.search(
        r"Could not delete (?:from config\. The value of )?'([^'=]+)|Key '([^']+)' is not in struct"
        r"|Error merging override ~([^= ]+)",
        text,
    )
    if taken_out and (key := next(filter(None, taken_out.groups()))) in deleted:
        return left_out(key)
    if found := re.search(r"Error merging override (.+)", text):
        reason = str(error.__cause__ or text).splitlines()[0]
        return f"{found[1]}: Hydra's setting takes another kind of value ({reason})"
    if "Config group override must be" in text:
        split = [(override, override.partition("=")[2]) for override in overrides]
        of_groups = [o for o, _ in split if override_name(o).split("@")[0] in known_groups()]
        given = [o for o, v in split if o in of_groups and not isinstance(hydra_value(v), (str, QuotedString))]
        return f"a group takes the name of a choice, ssvae {command} --help lists them; given: {' '.join(given)}"
    headings = ("full_key", "object_type", "Set the environment variable", "See https")
    lines = [line.strip() for line in text.splitlines()]
    said = " ".join(line for line in lines if line and not line.startswith(headings))
    if isinstance(error, InterpolationResolutionError):
        return unresolved(said, error.full_key, overrides)
    names_it = type(error).__module__.startswith(("hydra", "omegaconf"))
    return said if names_it else f"{said}; given: {' '.join(overrides)}"


def already_there(key: str, overrides: list[str]) -> str:
    """The line for +key=value, or +group=choice, where there is one."""
    given = next((o for o in overrides if o.startswith("+") and override_name(o).split("@")[0] == key), f"+{key}=...")
    return f"{given}: {key} is there already; leave out the +: {shell_word(given.lstrip('+'))}"


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
        place = place_of(group, command)
        where = f"one of its choices is put under a name, +{group}@{place}.NAME=CHOICE" if place else ""
        return f"{group} is no group of ssvae {command}; {where or f'ssvae {command} --help lists those that are'}"
    return f"the {parent} that was chosen has no {part}; these have: {', '.join(having)}"


def place_of(group: str, command: str) -> str | None:
    """Where a command has several choices of a group by name: metrics in `evaluation.metrics`. None for nowhere."""
    for file in (conf() / f"{command}.yaml", *sorted(conf().glob("*/*.yaml"))):
        found = re.search(rf"^  - /?{group}@([\w.]+)\.\w+: ", file.read_text(), re.M)
        if found and file.parent == conf():
            return found[1]
        if found and file.parent.name in own_keys(command):
            return f"{file.parent.name}.{found[1]}"
    return None


def refuse_unread_keys(config: DictConfig, overrides: list[str], command: str, chosen: Iterable[str]) -> None:
    """Raise UserError for what Hydra takes and the command would not read, or not do without.

    That is +key=value that no part has, ~key of what the command needs, several choices of one group, two of g', and
    the key of g' that is g's. config: composed. chosen: its groups, added ones among them, as they are typed."""
    known = own_keys(command)
    given = {override_name(override): override for override in overrides if not override.startswith("~")}
    if {"encoder_prime", "encoder@encoder_prime"} <= set(given):
        both = f"{given['encoder_prime']} and {given['encoder@encoder_prime']}"
        raise UserError(f"{both}: each chooses g'; give one of the two")
    for override in overrides:
        key = override_name(override)
        if key == "encoder_prime.latent_dim":
            raise UserError(f"unknown key {key}: z' has the dimension of z; allowed: encoder.latent_dim")
        if override.startswith("~") and is_needed(key, config, known):
            raise UserError(left_out(key))
        if key.split("@")[0] in known_groups() and override.partition("=")[2].startswith("["):
            raise UserError(f"{override}: a group takes one choice, and no list; ssvae {command} --help lists them")
        if override.startswith("+") and key not in chosen:
            refuse_unknown(key, config, known)


def refuse_unknown(key: str, config: DictConfig, known: set[str]) -> None:
    """Raise UserError for an added key that neither the command nor, as far as its source tells, the part reads."""
    top, (above, _, name) = key.split(".")[0], key.rpartition(".")
    if top not in {*known, "hydra"}:
        raise UserError(f"unknown key {key}; {allowed(top, {own for own in known if own in config})}")
    part = OmegaConf.select(config, above) if above else None
    if isinstance(part, DictConfig) and "_target_" in part and not takes(str(part._target_), name):
        raise UserError(f"unknown key {key}; {allowed(name, {own for own in part if own != name and own[0] != '_'})}")


def is_needed(key: str, config: DictConfig, known: set[str]) -> bool:
    """Whether a key that was taken out is one of the command's, or one without which its part cannot be built."""
    above, _, name = key.replace("/", ".").rpartition(".")
    if not above:
        return name in known and name not in config
    part = OmegaConf.select(config, above)
    is_part = isinstance(part, DictConfig) and "_target_" in part and name not in part
    return is_part and requires(str(part._target_), name)
