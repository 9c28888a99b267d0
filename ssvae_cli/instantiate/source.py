"""Definitions of this package, read from their source: what they say shows without importing them, and torch."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = "ssvae_cli"
CONSTRUCTORS = ("__init__", "__post_init__")


class Found(NamedTuple):
    """A definition, and the module in which it stands."""

    module: str
    node: ast.AST


def definition(target: str) -> Found | None:
    """A class, function or constant by its dotted name, also where its module only imports it; of a function that
    another returns, that one. None outside this package."""
    module, _, name = target.rpartition(".")
    for node in _statements(module):
        if isinstance(node, ast.ImportFrom) and (original := _imported(node, name)):
            return definition(f"{node.module}.{original}")
        if getattr(node, "name", None) == name:
            return Found(module, node)
        if isinstance(node, ast.Assign) and any(getattr(target, "id", None) == name for target in node.targets):
            return _returned(Found(module, node.value)) or Found(module, node)
    return None


def imported(module: str, name: str) -> tuple[str, str | None] | None:
    """(The module, the name in it) that a name of a module is imported from; None in it for the module itself."""
    for node in _statements(module):
        if isinstance(node, ast.ImportFrom) and (original := _imported(node, name)):
            return node.module or "", original
        if isinstance(node, ast.Import) and any(name == (alias.asname or alias.name) for alias in node.names):
            return name, None
    return None


def family(found: Found) -> Iterator[Found]:
    """A class and those that it derives from; a function alone."""
    yield found
    for base in getattr(found.node, "bases", ()):
        if isinstance(base, ast.Name) and (above := definition(f"{found.module}.{base.id}")):
            yield from family(above)


def class_attribute(target: str, name: str, otherwise: str) -> str:
    """The source of what a class, or the nearest that it derives from, sets an attribute to; `otherwise` where none
    does, '' of a class outside this package."""
    found = definition(target)
    statements = [statement for above in family(found) for statement in above.node.body] if found else []
    assigned = (s.value for s in statements if isinstance(s, ast.Assign) and ast.unparse(s.targets[0]) == name)
    return ast.unparse(next(assigned, ast.Name(otherwise))) if found else ""


def constructor(node: ast.AST) -> ast.FunctionDef | None:
    """A function itself, or what a class runs on its settings; None where that is another class's."""
    if isinstance(node, ast.FunctionDef):
        return node
    return next((n for n in getattr(node, "body", ()) if getattr(n, "name", "") in CONSTRUCTORS), None)


def parameters(node: ast.AST) -> dict[str, tuple[ast.expr | None, ast.expr | None]]:
    """(The annotation, the default) of each parameter of a function or constructor, or field of a dataclass."""
    function = constructor(node)
    if function is None or function.name == "__post_init__":
        fields = [n for n in getattr(node, "body", ()) if isinstance(n, ast.AnnAssign)]
        fields = [field for field in fields if not ast.unparse(field.annotation).startswith("ClassVar")]
        return {field.target.id: (field.annotation, field.value) for field in fields}
    positional, named = function.args.args, function.args.kwonlyargs
    defaults = [*[None] * (len(positional) - len(function.args.defaults)), *function.args.defaults]
    pairs = [*zip(positional, defaults), *zip(named, function.args.kw_defaults)]
    return {argument.arg: (argument.annotation, default) for argument, default in pairs if argument.arg != "self"}


def _returned(call: Found) -> Found | None:
    """The function inside another that a call of that one returns; None for any other expression."""
    if not (isinstance(call.node, ast.Call) and isinstance(call.node.func, ast.Name)):
        return None
    maker = definition(f"{call.module}.{call.node.func.id}")
    last = maker.node.body[-1] if maker and isinstance(maker.node, ast.FunctionDef) else None
    if not isinstance(last, ast.Return):
        return None
    inside = (n for n in maker.node.body if isinstance(n, ast.FunctionDef) and n.name == getattr(last.value, "id", ""))
    return _returned(Found(maker.module, last.value)) or next((Found(maker.module, n) for n in inside), None)


def _imported(node: ast.ImportFrom, name: str) -> str | None:
    return next((alias.name for alias in node.names if (alias.asname or alias.name) == name), None)


@functools.cache
def _statements(module: str) -> list[ast.stmt]:
    """Those of a module of this package; none of another."""
    top, *parts = module.split(".")
    place = Path(__file__).parents[1].joinpath(*parts)
    file = next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()), None)
    return ast.parse(file.read_text("utf-8")).body if top == PACKAGE and file else []
