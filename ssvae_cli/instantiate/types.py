"""Annotations as a schema: whether a YAML value is of a type, and the type in words."""

import inspect
import math
import re
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import DictConfig

from ssvae_cli.errors import UserError, allowed, did_you_mean, in_yaml, require
from ssvae_cli.instantiate.groups import choices, known_groups, override_for

PLAIN_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a word", type(None): "null"}

PLURALS = {int: "integers", float: "numbers", str: "words"}


def require_fits(value: Any, annotation: Any, key: str) -> None:
    """Raise UserError unless a plain config value is of the annotated type."""
    wrong = f"{key} must be {describe(annotation)}, got {in_yaml(value)}{hint(value, annotation, key)}"
    require(fits(value, annotation), wrong)


def require_part(value: Any, key: str) -> None:
    """Raise UserError unless a node of a configuration is a part, or a mapping of them."""
    if not isinstance(value, DictConfig):
        group, override = key.replace(".", "/"), override_for(key, value)
        meant = f"; did you mean {override}?" if override else ""
        if group in known_groups() and value not in choices(group):
            meant = f"; {allowed(str(value), choices(group))}"
        what = "a choice of that group" if override or group in known_groups() else "a part with its _target_"
        raise UserError(f"{key} must be {what}, got {in_yaml(value)}{meant}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain config value is of the annotated type; annotations that YAML cannot express fit anything."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, a) for a in args)
    if origin is Literal:
        return value in args and type(value) in {type(a) for a in args}
    if origin is tuple and isinstance(value, (list, tuple)):
        if len(args) == 2 and args[1] is Ellipsis:
            return all(fits(v, args[0]) for v in value)
        return len(value) == len(args) and all(map(fits, value, args))
    if origin is list and isinstance(value, (list, tuple)):
        return all(fits(v, args[0]) for v in value)
    if origin is dict and isinstance(value, dict):
        return all(fits(v, args[1]) for v in value.values())
    if origin in (tuple, list, dict):
        return False
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    if hint in PLAIN_NAMES:
        return isinstance(value, hint)
    if origin is Callable or getattr(hint, "_is_protocol", False):
        return False  # a part, and those have a _target_
    return isinstance(value, hint) if inspect.isclass(hint) and hint is not Any else True


def choice_of(kind: type) -> str:
    """The word that chooses a class on the command line, as a rule: WordsJoined -> words_joined."""
    return re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", kind.__name__).lower()


def describe(hint: Any) -> str:
    """An annotation in words: 'an integer or null', 'one of a, b', 'a list of 2 numbers'."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in args)
    if origin is Literal:
        return "one of " * (len(args) > 1) + ", ".join(map(str, args))
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        of_one_type = set(args) <= PLURALS.keys() and len(set(args)) == 1
        return f"a list of {f'{len(args)} {PLURALS[args[0]]}' if of_one_type else ', '.join(map(describe, args))}"
    if origin in (tuple, list):
        return f"a list, each {describe(args[0])}"
    if origin is dict:
        return f"a mapping of names, each to {describe(args[1])}"
    if origin is Callable:
        return "a part with its _target_"
    return PLAIN_NAMES.get(hint, f"a {choice_of(hint)} (a config group)" if inspect.isclass(hint) else "a value")


def hint(value: Any, annotation: Any, key: str) -> str:
    """'; did you mean X?' where a choice is close to what was given, or where a group's choice was given to a key."""
    kinds = [annotation, *get_args(annotation)]
    if isinstance(value, str):
        kind = next((choice_of(k) for k in kinds if inspect.isclass(k)), "")
        if override := override_for(key, value, kind):
            return f"; did you mean {override}?"
    literals = [a for a in kinds if get_origin(a) is Literal]
    return did_you_mean(str(value), (str(option) for literal in literals for option in get_args(literal)))
