"""The plain annotations of this package's constructors, read from their source: a wrong type shows without torch.

Numbers, words, literals, and lists of them are plain; whatever else stands in an annotation is left to `build`."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ssvae_cli.instantiate.types import require_fits

PACKAGE = "ssvae_cli"
PLAIN = {kind.__name__: kind for kind in (bool, dict, float, int, list, str, tuple)} | {"Literal": Literal}
Found = tuple[str, ast.AST]  # a definition, and the module in which it stands


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
    definition = _definition(*target.rpartition(".")[::2])
    for module, node in _family(definition) if definition else ():
        if name in (parameters := _parameters(node)):
            try:
                return _value(module, parameters[name])
            except (NameError, TypeError, AttributeError):
                return Any
    return Any


def _family(definition: Found) -> Iterator[Found]:
    """A class and those that it derives from; a function alone."""
    yield definition
    module, node = definition
    for base in getattr(node, "bases", ()):
        if isinstance(base, ast.Name) and (found := _definition(module, base.id)):
            yield from _family(found)


def _parameters(node: ast.AST) -> dict[str, ast.expr | None]:
    """The annotations of a function, of a constructor, or of the fields of a dataclass, by name."""
    if isinstance(node, ast.ClassDef):
        constructor = next((n for n in node.body if getattr(n, "name", "") == "__init__"), None)
        if constructor:
            return _parameters(constructor)
        return {n.target.id: n.annotation for n in node.body if isinstance(n, ast.AnnAssign)}
    arguments = [*node.args.args, *node.args.kwonlyargs] if isinstance(node, ast.FunctionDef) else []
    return {argument.arg: argument.annotation for argument in arguments}


class _Names(dict):
    """The plain types, and what a module calls one."""

    def __init__(self, module: str):
        super().__init__(PLAIN)
        self._module = module

    def __missing__(self, name: str) -> Any:
        found = _definition(self._module, name)
        if found is None or not isinstance(found[1], ast.Assign):
            raise NameError(name)
        return _value(found[0], found[1].value)


def _value(module: str, node: ast.expr | None) -> Any:
    """What an expression of types stands for. Raises NameError for one that is not plain."""
    if node is None:
        return Any
    return eval(compile(ast.Expression(node), module, "eval"), {"__builtins__": {}}, _Names(module))


def _definition(module: str, name: str) -> Found | None:
    """Where a module of this package, or the one from which it imports the name, defines it; None elsewhere."""
    for node in _source(module):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _definition(node.module or "", alias.name)
        elif getattr(node, "name", None) == name:
            return module, node
        elif isinstance(node, ast.Assign) and any(getattr(target, "id", None) == name for target in node.targets):
            return module, node
    return None


@functools.cache
def _source(module: str) -> list[ast.stmt]:
    """The statements of a module of this package; none of another."""
    top, *parts = module.split(".")
    place = Path(__file__).parents[1].joinpath(*parts)
    file = next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()), None)
    return ast.parse(file.read_text()).body if top == PACKAGE and file else []
