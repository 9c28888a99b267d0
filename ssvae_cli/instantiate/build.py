"""Build a part from its configuration, refusing what its constructor does not take.

The constructor's annotations are the schema: unknown keys, wrong types and unknown choices are named with the key they
came from before anything is built. Ranges are checked by the constructor, which says 'std must be above 0, got -1';
the key of the part is put in front here.
"""

import functools
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from ssvae_cli.errors import (
    PartError,
    UserError,
    allowed,
    did_you_mean,
    machine_error,
    nearest,
    require,
    said,
    setting_of,
)
from ssvae_cli.instantiate.own_faults import same_floats
from ssvae_cli.instantiate.types import require_fits, require_part

HYDRA_KEYS = {"_target_", "_partial_"}  # Hydra's other keys are for programs and configure no part


class Contract(NamedTuple):
    """What the program asks of a part. members: attributes it must have. says: how a user's own class gets them."""

    members: tuple[str, ...]
    says: str

    def require(self, part: Any, key: str) -> None:
        """Raise PartError, naming what is missing, unless `part` has every member."""
        missing = [member for member in self.members if not _has(part, member)]
        kind = part.__name__ if inspect.isfunction(part) else type(part).__name__
        if missing:
            raise PartError(f"{key}: {kind} has no {' and no '.join(missing)}; {self.says}")


def _has(part: Any, member: str) -> bool:
    """Whether it is there; the `forward` that torch gives every Module, which only raises, does not count."""
    return hasattr(part, member) and getattr(getattr(part, member), "__name__", "") != "_forward_unimplemented"


def build(config: DictConfig, key: str, contract: Contract | None = None, **offered: Any) -> Any:
    """The object that `config` describes.

    key: where the config stands, for error lines. offered: values that the program sets, such as latent_dim; every
    constructor that has a parameter of that name gets it, those of nested parts included, and no configuration may set
    it. Raises UserError for anything the user can mend.
    """
    require_part(config, key)
    plain = OmegaConf.to_container(config, resolve=True)
    check(plain, key, set(offered))
    with setting_of(key, parameters(_target(plain, key)).keys() - offered.keys()):
        part = _make(plain, key, offered)
    if contract:
        contract.require(part, key)
    return part


def build_named(config: DictConfig, key: str, contract: Contract, **offered: Any) -> dict[str, Any]:
    """The parts that a configuration has below a key, by name; without those that are null, and none without the key,
    which the configuration lacks where ~key.NAME took out all of them."""
    parts = {name: part for name, part in config.get(key, {}).items() if part is not None}
    return {name: build(part, f"{key}.{name}", contract, **offered) for name, part in parts.items()}


def check(config: dict, key: str, offered: set[str] = frozenset()) -> None:
    """Hold a config node, and every node with a `_target_` below it, to its constructor's annotations."""
    target = _target(config, key)
    for name in sorted(getattr(target, "__abstractmethods__", ())):
        base = next(c for c in target.__mro__ if name in vars(c))
        asked = f"which {base.__name__} of {base.__module__} asks for: {inspect.getdoc(vars(base)[name])}"
        raise PartError(f"{key}: {target.__name__} has no {name}, {' '.join(asked.split())}")
    partial = config.get("_partial_", False)
    require(isinstance(partial, bool), f"{key}._partial_ must be true or false, got {partial!r}")
    known = parameters(target)
    settable = [name for name in known if name not in {*offered, "**"}]
    for name, value in config.items():
        if name not in HYDRA_KEYS:
            here = f"{key}.{name}"
            require(name in settable or "**" in known, f"unknown key {here}; {allowed(name, settable)}")
            require(value != "???", f"{here} has no default; give {here}=...")
            _check_value(value, known[name].annotation if name in known else Any, here, offered)
    needed = {name for name, p in known.items() if p.default is p.empty and name != "**"}
    missing = [name for name in known if name in needed - {*config, *offered}]
    require(partial or not missing, f"{key} lacks {', '.join(missing)}, which {config['_target_']} needs")


def _check_value(value: Any, annotation: Any, key: str, offered: set[str]) -> None:
    """Hold a value to an annotation; parts, alone or in a list or mapping, to those of their constructors."""
    if isinstance(value, dict) and "_target_" in value:
        check(value, key, offered)
    elif _has_parts(value):
        of_each = get_args(annotation)[-1] if get_origin(annotation) is type(value) else Any
        for name, child in value.items() if isinstance(value, dict) else enumerate(value):
            _check_value(child, of_each, f"{key}.{name}", offered)
    else:
        require_fits(value, annotation, key)


def parameters(target: Callable) -> dict[str, inspect.Parameter]:
    """What a class or function can be given, by name and with resolved annotations.

    Where a constructor passes **kwargs on, the parameters of the next class are among them; '**' stands for a function
    that takes anything.
    """
    constructors, accepted = [target], {}
    if inspect.isclass(target):
        constructors = [c.__init__ for c in target.__mro__[:-1] if "__init__" in vars(c)]
    for constructor in constructors:
        hints, passed_on = get_type_hints(constructor), None
        for name, p in inspect.signature(constructor).parameters.items():
            if p.kind is p.VAR_KEYWORD:
                passed_on = p
            elif name != "self" and p.kind is not p.VAR_POSITIONAL:
                accepted.setdefault(name, p.replace(annotation=hints.get(name, Any)))
        if passed_on is None:
            return accepted
    return accepted if inspect.isclass(target) else accepted | {"**": passed_on}


def _without_target(config: dict, key: str) -> str:
    """What a config node has that names nothing to build, and what to do."""
    if not config:
        return "no keys; its YAML file says what to build, as _target_: my_parts.Name"
    if misspelt := [name for name in config if nearest(name, ["_target_"])]:
        return f"{misspelt[0]}; did you mean '_target_'?"
    remedy = f"these keys are of another choice of {key}: choose that, or leave out the preset or file that sets them"
    return f"{', '.join(config)}, but no _target_ that says what to build; {remedy}"


def _target(config: dict, key: str) -> Callable:
    """The class or function that a config node names. Raises UserError where it names none."""
    require("_target_" in config, f"{key} has {_without_target(config, key)}")
    named = config["_target_"]
    require(isinstance(named, str), f"{key}._target_ must be the name of a class or function, got {named!r}")
    try:
        with same_floats(f"{key}._target_ = {named}: its module"):
            target = pkgutil.resolve_name(named)
    except PartError:
        raise
    except (Exception, SystemExit) as error:
        ends_in = traceback.extract_tb(error.__traceback__)[-1].filename
        if isinstance(error, SyntaxError) or not ("importlib" in ends_in or ends_in == pkgutil.__file__):  # its own
            raise PartError(f"{key}._target_ = {named}: importing it raised {said(error)}") from error
        line = f"{key}._target_ = {named}: no such class or function can be imported"
        module, _, name = named.rpartition(".")
        there = vars(sys.modules[module]) if module in sys.modules else {}
        close = did_you_mean(name, (word for word, value in there.items() if callable(value)))
        remedy = close or "; your own has to be installed, or its folder named in PYTHONPATH"
        raise UserError(f"{line}{remedy}") from None
    require(callable(target), f"{key}._target_ = {named} is neither a class nor a function")
    return target


def _make(value: Any, key: str, offered: dict[str, Any]) -> Any:
    """What a resolved config value stands for: parts are built, anything else is kept."""
    if isinstance(value, list):
        return [_make_child(str(i), child, key, offered) for i, child in enumerate(value)]
    if not isinstance(value, dict):
        return value
    children = {n: _make_child(n, child, key, offered) for n, child in value.items() if n not in HYDRA_KEYS}
    if "_target_" not in value:
        return children
    target = _target(value, key)
    settings = children | {name: offered[name] for name in parameters(target) if name in offered}
    if not value.get("_partial_"):
        return _call(target, key, settings)

    @functools.wraps(target, updated=())
    def part(*given: Any, **more: Any) -> Any:
        known = parameters(target)
        own = [n for n in known if n not in more]
        for name in (n for n in children if n in more):
            raise UserError(f"unknown key {key}.{name}, which the program sets; {allowed(name, own)}")
        with setting_of(key.rpartition(".")[2], own):
            more = {n: v for n, v in more.items() if n in known or "**" in known}
            return _call(target, key, settings | more, given)

    return part


def _make_child(name: str, value: Any, key: str, offered: dict[str, Any]) -> Any:
    """A value below a part; what its constructor says of a setting gets `name` in front."""
    here, settings = f"{key}.{name}", value if isinstance(value, dict) else ()
    if "_target_" in settings:
        settings = parameters(_target(value, here))
    with setting_of(name, settings):
        return _make(value, here, offered)


def _call(target: Callable, key: str, settings: dict[str, Any], given: tuple = ()) -> Any:
    """target(*given, **settings). A user's class that raises gives one line; a fault of this program, its traceback."""
    own = getattr(target, "__module__", None) or ""
    name = f"{key}: {own}.{getattr(target, '__qualname__', target)}"
    try:
        with same_floats(name):
            part = target(*given, **settings)
    except (Exception, SystemExit) as error:
        ours = own.split(".")[0] == "ssvae_cli"
        if ours or isinstance(error, UserError) or isinstance(machine_error(error), UserError):
            raise
        raise PartError(f"{name} raised {said(error)}") from error
    if hasattr(part, "register_parameter") and "_parameters" not in vars(part):  # of torch, which is not loaded here
        raise PartError(f"{key}: the constructor of {type(part).__name__} must begin with super().__init__()")
    return part


def _has_parts(value: Any) -> bool:
    """Whether a config value is a part, or a list or mapping with parts in it."""
    if isinstance(value, dict):
        return "_target_" in value or any(map(_has_parts, value.values()))
    return isinstance(value, list) and any(map(_has_parts, value))
