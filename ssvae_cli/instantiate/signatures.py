"""The plain annotations of this package's constructors, read from their source: a wrong type shows without torch.

Numbers, words, literals, and lists of them are plain; whatever else stands in an annotation is left to `build`."""

import ast
from typing import Any, Literal

from ssvae_cli.instantiate.source import definition, family, parameters
from ssvae_cli.instantiate.types import require_fits

PLAIN = {kind.__name__: kind for kind in (bool, dict, float, int, list, str, tuple)} | {"Literal": Literal}


def check_plain(config: dict, key: str = "") -> None:
    """Hold the values of a plain configuration to the plain annotations of the parts that they belong to.

    Raises UserError. Values with ${...} in them are left out."""
    for name, value in config.items():
        here = f"{key}.{name}".lstrip(".")
        if isinstance(value, dict):
            check_plain(value, here)
        elif "_target_" in config and "${" not in str(value) and value != "???":
            require_fits(value, annotation_of(str(config["_target_"]), name), here)


def annotation_of(target: str, name: str) -> Any:
    """That of a parameter of a class or function, or of a class that it derives from; Any where it is not plain."""
    found = definition(target)
    for module, node in family(found) if found else ():
        if name in (known := parameters(node)):
            try:
                return _value(module, known[name][0])
            except (NameError, TypeError, AttributeError):
                return Any
    return Any


def requires(target: str, name: str) -> bool:
    """Whether a class or function of this package has a parameter of that name without a default."""
    found = definition(target)
    known = next((p for _, node in (family(found) if found else ()) if name in (p := parameters(node))), {})
    return name in known and known[name][1] is None


def takes(target: str, name: str) -> bool:
    """Whether a class or function has a parameter of that name; of one that its source here does not show, True."""
    found = definition(target)
    node = found and found.node
    shown = isinstance(node, ast.ClassDef) or isinstance(node, ast.FunctionDef) and node.args.kwarg is None
    return not shown or any(name in parameters(node) for _, node in family(found))


class _Names(dict):
    """The plain types, and what a module calls one."""

    def __init__(self, module: str):
        super().__init__(PLAIN)
        self._module = module

    def __missing__(self, name: str) -> Any:
        found = definition(f"{self._module}.{name}")
        if found is None or not isinstance(found.node, ast.Assign):
            raise NameError(name)
        return _value(found.module, found.node.value)


def _value(module: str, node: ast.expr | None) -> Any:
    """What an expression of types stands for. Raises NameError for one that is not plain."""
    if node is None:
        return Any
    return eval(compile(ast.Expression(node), module, "eval"), {"__builtins__": {}}, _Names(module))
