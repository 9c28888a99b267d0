"""Build a part from its configuration, refusing what its constructor does not take.

The constructor's annotations are the schema: unknown keys, wrong types and unknown choices are named with the
key they came from, before anything is built. Ranges are the constructor's own business.
"""

import inspect
import math
import pkgutil
import re
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ssvae_cli.errors import UserError, nearest, require
from ssvae_cli.mistakes import known_groups

HYDRA_KEYS = {"_target_", "_partial_"}  # its others are for programs, and no key of a part
PLAIN_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a word", type(None): "null"}


def build(config: DictConfig, key: str, **given: Any) -> Any:
    """The object that `config` describes, with `given` passed to its constructor.

    key: where the config sits, for error lines. Raises UserError for anything the user can mend.
    """
    require(isinstance(config, DictConfig), f"{key} must be a choice of that group, got {config!r}")
    check(OmegaConf.to_container(config, resolve=True), key, set(given))
    try:
        return instantiate(config, _convert_="all", **given)
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, UserError):
                raise cause from None
            cause = cause.__cause__
        raise


def check(config: dict, key: str, given: set[str] = frozenset()) -> None:
    """Hold a config node, and every node with a `_target_` below it, to its constructor's annotations."""
    require("_target_" in config, f"{key} has no _target_, so nothing says what to build")
    named = config["_target_"]
    require(isinstance(named, str), f"{key}._target_ must be the name of a class or function, got {named!r}")
    partial = config.get("_partial_", False)
    require(isinstance(partial, bool), f"{key}._partial_ must be true or false, got {partial!r}")
    try:
        target = pkgutil.resolve_name(named)
    except (ImportError, AttributeError, ValueError):
        said = f"{key}._target_ = {named}: no such class or function can be imported; your own has to be installed"
        raise UserError(f"{said}, or its folder named in PYTHONPATH") from None
    signature = inspect.signature(target)
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for name, value in config.items():
        if name in HYDRA_KEYS:
            continue
        here = f"{key}.{name}"
        known = name in signature.parameters
        require(known or takes_any, f"unknown key {here}; {nearest(name, signature.parameters)}")
        require(value != "???", f"{here} has no default; give {here}=...")
        if isinstance(value, dict) and "_target_" in value:
            check(value, here)
        elif known and name in hints:
            require(
                fits(value, hints[name]),
                f"{here} must be {describe(hints[name])}, got {typed(value)}{hint(value, hints[name], here)}",
            )
    if not config.get("_partial_"):
        missing = [
            name
            for name, p in signature.parameters.items()
            if p.default is p.empty
            and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
            and name not in config
            and name not in given
        ]
        require(not missing, f"{key} lacks {', '.join(missing)}, which {config['_target_']} needs")


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
    if origin in (tuple, list):
        return False
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    if hint in PLAIN_NAMES:
        return isinstance(value, hint)
    if origin is Callable:
        return False  # a part, and those have a _target_
    return isinstance(value, hint) if inspect.isclass(hint) else True


def typed(value: Any) -> str:
    """A value as YAML has it, for an error line."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)


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
        return "a list of " + ", ".join(describe(a) for a in args)
    if origin in (tuple, list):
        return f"a list, each {describe(args[0])}"
    if origin is Callable:
        return "a part with its _target_"
    return PLAIN_NAMES.get(hint, f"a {choice_of(hint)} (a config group)")


def hint(value: Any, annotation: Any, key: str) -> str:
    """'; did you mean X?' where a choice is close to what was given, or where a group's choice was given to a key."""
    if isinstance(value, str) and (group := key.replace(".", "/")) in known_groups():
        return f"; did you mean {group}={value}?"
    choices = [a for a in [annotation, *get_args(annotation)] if get_origin(a) is Literal]
    options = [str(o) for c in choices for o in get_args(c)]
    line = nearest(str(value), options)
    return line[line.index("; did") :] if "; did" in line else ""
