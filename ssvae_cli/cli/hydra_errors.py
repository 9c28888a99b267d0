"""What Hydra cannot compose, as one line: MESSAGES says how each of its messages is put."""

import re
from collections.abc import Callable
from typing import NamedTuple

from hydra.core.override_parser.types import QuotedString
from omegaconf.errors import InterpolationResolutionError

from ssvae_cli.cli.overrides import (
    AS_REFERENCE,
    ONE_FOLDER,
    PATH_KEY,
    SETTING,
    hydra_value,
    override_name,
    quoted,
)
from ssvae_cli.cli.own_keys import own_keys
from ssvae_cli.cli.suggestions import left_out, unknown_choice, unknown_key
from ssvae_cli.errors import allowed, did_you_mean, first_line
from ssvae_cli.instantiate.groups import choices_with, conf, known_groups
from ssvae_cli.paths import literal, shell_command, shell_word


class Refusal(NamedTuple):
    """What Hydra raised, and what it had been given."""

    error: Exception
    command: str
    overrides: list[str]


Line = Callable[..., str | None]  # of a Refusal and the groups of a pattern; None: the message is of another kind


def one_line(error: Exception, command: str, overrides: list[str]) -> str:
    """Hydra's or OmegaConf's message as one line."""
    if override := getattr(error, "override", None):
        return unreadable(override, command)
    refusal = Refusal(error, command, overrides)
    for pattern, line in MESSAGES.items():
        if (found := re.search(pattern, str(error))) and (said := line(refusal, *found.groups())):
            return said
    return as_it_is(refusal)


def unreadable(override: str, command: str) -> str:
    """The line for an override that is no sentence of Hydra's grammar."""
    key, equals, value = override.partition("=")
    if not equals or not SETTING.match(override):
        see = f"ssvae {command} --help shows every group, choice and key"
        return f"'{override}' is no setting (key=value, group=choice, +new=value, ~key); {see}"
    as_text = shell_word(f"{key}={quoted(literal(value))}")
    return f"{override}: the value cannot be read; as text, between quotes: {as_text}; a list is written [a,b]"


def no_choice(refusal: Refusal, path: str, group: str, listed: str) -> str:
    """The line for a word that is no choice of a group."""
    return unknown_choice(group, path.removeprefix(f"{group}/"), listed.split(), refusal.overrides)


def no_group(refusal: Refusal, group: str, package: str | None) -> str:
    """The line for a group that the configuration does not choose from: as it is typed, group or group@package."""
    if group not in known_groups():
        return f"unknown group {group}; {allowed(group, known_groups())}"
    parent, _, part = (package or group.replace("/", ".")).rpartition(".")
    having = choices_with(parent.replace(".", "/"), part) if parent else []
    if having:
        return f"the {parent} that was chosen has no {part}; these have: {', '.join(having)}"
    place = place_of(group, refusal.command)
    remedy = f"one of its choices is put under a name, +{group}@{place}.NAME=CHOICE" if place else ""
    remedy = remedy or f"ssvae {refusal.command} --help lists those that are"
    return f"{group} is no group of ssvae {refusal.command}; {remedy}"


def place_of(group: str, command: str) -> str | None:
    """Where a command has several choices of a group by name: metrics in `evaluation.metrics`. None for nowhere."""
    for file in (conf() / f"{command}.yaml", *sorted(conf().glob("*/*.yaml"))):
        found = re.search(rf"^  - /?{group}@([\w.]+)\.\w+: ", file.read_text("utf-8"), re.M)
        if found and file.parent == conf():
            return found[1]
        if found and file.parent.name in own_keys(command):
            return f"{file.parent.name}.{found[1]}"
    return None


def no_key(refusal: Refusal, key: str) -> str:
    """The line for a key that is not there."""
    return unknown_key(key, refusal.command, refusal.overrides)


def several_values(refusal: Refusal, override: str, key: str, value: str) -> str:
    """The line for commas outside a sweep."""
    sweep, one = shell_command("ssvae", refusal.command, "-m", override), shell_word(f"{key}={quoted(literal(value))}")
    return f"{override}: several values are a sweep, {sweep}; a list is written [{value}]; one word with a comma: {one}"


def already_there(refusal: Refusal, key: str) -> str | None:
    """The line for +key=value, or +group=choice, where there is one."""
    for override in refusal.overrides:
        if override.startswith("+") and override_name(override).split("@")[0] == key:
            return f"{override}: {key} is there already; leave out the +: {shell_word(override.lstrip('+'))}"
    return None


def forced(refusal: Refusal, group: str, package: str | None) -> str | None:
    """The line for ++group=choice."""
    is_there = group.split("/")[0] in own_keys(refusal.command)
    return already_there(refusal, group) if is_there else no_group(refusal, group, package)


def taken_out(refusal: Refusal, key: str) -> str | None:
    """The line for ~key or ~group; None where it is another override that Hydra speaks of."""
    deleted = [override_name(override) for override in refusal.overrides if override.startswith("~")]
    return left_out(key) if key in deleted else None


def not_of_its_type(refusal: Refusal, override: str) -> str:
    """The line for a value that is not of the type of Hydra's setting."""
    reason = first_line(refusal.error.__cause__ or refusal.error)
    return f"{override}: Hydra's setting takes another kind of value ({reason})"


def no_word(refusal: Refusal) -> str | None:
    """The line for a number, null, a list or a mapping in place of a choice; None where there is none."""
    of_groups = [o for o in refusal.overrides if override_name(o).split("@")[0] in known_groups()]
    is_word = lambda override: isinstance(hydra_value(override.partition("=")[2]), (str, QuotedString))
    given = " ".join(override for override in of_groups if not is_word(override))
    line = f"a group takes the name of a choice, ssvae {refusal.command} --help lists them; given: {given}"
    return line if given else None


def as_it_is(refusal: Refusal) -> str:
    """Any other message, without its headings; of a ${...} that leads nowhere, with what is written instead."""
    headings = ("full_key", "object_type", "reference_type", "Set the environment variable", "See https")
    lines = [line.strip() for line in str(refusal.error).splitlines()]
    said = " ".join(line for line in lines if line and not line.startswith(headings))
    if isinstance(refusal.error, InterpolationResolutionError):
        return unresolved(said, refusal)
    names_it = type(refusal.error).__module__.startswith(("hydra", "omegaconf"))
    return said if names_it else f"{said}; given: {' '.join(refusal.overrides)}"


def unresolved(said: str, refusal: Refusal) -> str:
    """The line for a ${...} that leads nowhere, with the override that makes mere characters of it in a path's name."""
    named, key = re.findall(r"'([^']+)'", said), refusal.error.full_key
    said = of_reference(said, refusal)
    for override in refusal.overrides:
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


def of_reference(said: str, refusal: Refusal) -> str:
    """What OmegaConf says of a ${...} that leads nowhere, in our words where they are known."""
    if found := re.fullmatch(r"Interpolation key '(\w[\w.]*)' not found", said):
        return f"${{{found[1]}}}: {unknown_key(found[1], refusal.command, refusal.overrides)}"
    if found := re.fullmatch(r"Unsupported interpolation type ([\w.]+)", said):
        hint = did_you_mean(found[1], ("hydra", "now", "oc.env"))
        return f"${{{found[1]}:...}}: there is no {found[1]}; a key is ${{KEY}}, the time ${{now:%Y-%m-%d}}{hint}"
    if found := re.fullmatch(r"KeyError raised while resolving interpolation: \"(.+)\"", said):
        return found[1]  # of an environment variable that is not set
    return said


# What Hydra and OmegaConf say, as a pattern: the function that puts it in our words, of the pattern's groups. The first
# that answers counts.
MESSAGES: dict[str, Line] = {
    r"(?s)Could not find '([^']+)'.*Available options in '([^']+)':(.*?)Config search path": no_choice,
    r"Could not override '([\w/]+)(?:@([\w.]+))?'\.\s*(?:No match|Did you mean)": no_group,
    r"Could not override '([^']+)'": no_key,
    r"(?m)Ambiguous value for argument '(([^=]+)=(.+))'$": several_values,
    r"Could not delete from config\. '([^']+)' does not exist": no_key,
    r"Could not append to config\. An item is already at '([^']+)'": already_there,
    r"^Multiple values for ([\w/]+)": already_there,
    r"^([\w/]+) appears more than once": already_there,
    r"^(?:Multiple values for |[\w/]+ appears more than once)": no_word,  # of a list of choices
    r"force-add of config groups is not supported: '\+\+([^=@]+)(?:@([\w.]+))?=": forced,
    r"Could not delete (?:from config\. The value of )?'([^'=]+)": taken_out,
    r"Key '([^']+)' is not in struct": taken_out,
    r"Error merging override ~([^= ]+)": taken_out,
    r"Error merging override (.+)": not_of_its_type,
    r"Config group override must be": no_word,
}
