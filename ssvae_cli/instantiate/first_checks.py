"""What constructors of this package refuse of plain values, run from their source: a wrong value shows without torch.

A constructor stays the one place of its rules. Of its statements, those run that need nothing but its own settings,
Python's builtins, constants, and functions that check: of PLAIN modules, or of this package and named require_...
What needs more, or builds something, is left to `build`."""

import ast
import builtins
import copy
import importlib
from types import SimpleNamespace
from typing import Any

from ssvae_cli.errors import UserError, setting_of
from ssvae_cli.instantiate.source import Found, constructor, definition, family, imported, parameters

PLAIN = ("math", "pathlib", "re", "ssvae_cli.errors", "ssvae_cli.paths")  # they load no torch, and change nothing
SIMPLE = (ast.Assign, ast.AnnAssign, ast.Expr, ast.For, ast.Raise)


def check_values(config: dict | list, key: str = "") -> None:
    """Hold the values of a plain configuration to the checks of the constructors that they go to.

    Raises UserError as the constructor does, the key in front. Values with ${...} in them are left out."""
    for name, value in config.items() if isinstance(config, dict) else enumerate(config):
        if isinstance(value, (dict, list)):
            check_values(value, f"{key}.{name}".lstrip("."))
    if isinstance(config, dict) and (part := definition(str(config.get("_target_")))):
        with setting_of(key, config.keys() - {"_target_"}):
            check_call(part, {name: value for name, value in config.items() if _is_plain(value)})


def check_call(part: Found, settings: dict[str, Any]) -> None:
    """Run the checks of a function, or of a class and of those that it passes its settings on to."""
    fields: dict = {}  # of a dataclass, those of the classes below among them
    for module, node in family(part):
        fields = parameters(node) | fields
        if (function := constructor(node)) is None:
            continue
        of_fields = function.name == "__post_init__"
        names, own = _Names(module), fields if of_fields else parameters(node)
        for name, (_, default) in own.items():
            names.define(name, settings, default)
        names.values["self"] = SimpleNamespace(**names.values if of_fields else {})
        _run(function.body, names)
        if not _goes_on(function):
            return
        if not of_fields:  # it passes the others on
            settings = {name: value for name, value in settings.items() if name not in own}


class _Unknown(Exception):
    """What stands for nothing plain."""


class _Names:
    """What the names in a function of a module stand for. values: of parameters and variables."""

    def __init__(self, module: str):
        self.module, self.values, self.unknown = module, {}, set()

    def define(self, name: str, settings: dict[str, Any], default: ast.expr | None) -> None:
        """A parameter: its setting or, as it is written, its default."""
        try:
            self.values[name] = settings[name] if name in settings else self.result(ast.Expression(default))
        except (_Unknown, TypeError):  # nested parts, or what the program sets
            self.unknown.add(name)

    def of(self, name: str) -> Any:
        """What it stands for. Raises _Unknown."""
        if name in self.values:
            return self.values[name]
        if name in self.unknown:
            raise _Unknown(name)
        module, original = imported(self.module, name) or ("", None)
        if module in PLAIN:
            plain = importlib.import_module(module)
            return getattr(plain, original) if original else plain
        found = definition(f"{self.module}.{name}")
        if found and isinstance(found.node, ast.Assign):
            return _Names(found.module).result(ast.Expression(found.node.value))
        if found and isinstance(found.node, ast.FunctionDef) and name.startswith("require_"):
            return _Names(found.module).result(ast.Module([_unannotated(found.node)], []), name)
        if found or not hasattr(builtins, name):
            raise _Unknown(name)
        return getattr(builtins, name)

    def result(self, code: ast.Expression | ast.Module, of: str | None = None) -> Any:
        """The value of an expression, or of a variable that statements set. Raises _Unknown, and UserError."""
        bound = {n.id for n in ast.walk(code) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        bound |= {n.arg for n in ast.walk(code) if isinstance(n, ast.arg)}
        used = {n.id for n in ast.walk(code) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        scope = {name: self.of(name) for name in used - bound} | {"__builtins__": {}}
        scope |= {name: self.values[name] for name in used & bound if name in self.values}
        try:
            if isinstance(code, ast.Expression):
                return eval(compile(code, self.module, "eval"), scope)
            exec(compile(ast.fix_missing_locations(code), self.module, "exec"), scope)
        except UserError:
            raise
        except Exception as error:
            raise _Unknown from error
        self.values |= {name: scope[name] for name in bound & scope.keys()}
        return scope.get(of)

    def forget(self, statement: ast.stmt) -> None:
        """What a statement that does not run may set is unknown from here on."""
        for node in ast.walk(statement):
            if isinstance(getattr(node, "ctx", None), ast.Store):
                if isinstance(node, ast.Attribute):
                    vars(self.values["self"]).pop(node.attr, None)
                elif isinstance(node, ast.Name):
                    self.values.pop(node.id, None)
                    self.unknown.add(node.id)


def _run(statements: list[ast.stmt], names: _Names) -> bool:
    """Run those that can be; whether what follows them runs too."""
    for statement in statements:
        try:
            if isinstance(statement, ast.If):
                branch = statement.body if names.result(ast.Expression(statement.test)) else statement.orelse
                if not _run(branch, names):
                    return False
            elif isinstance(statement, SIMPLE):
                names.result(ast.Module([statement], []))
            else:
                raise _Unknown
        except _Unknown:
            if any(isinstance(node, ast.Return) for node in ast.walk(statement)):
                return False
            names.forget(statement)
    return True


def _goes_on(function: ast.FunctionDef) -> bool:
    """Whether a constructor calls that of the class above it with settings that are not its own."""
    calls = (n.func for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute))
    passes = function.name == "__post_init__" or function.args.kwarg is not None
    return passes and any(call.attr == function.name for call in calls)


def _unannotated(function: ast.FunctionDef) -> ast.FunctionDef:
    """Without the annotations, which may name what is not plain."""
    bare = copy.deepcopy(function)
    for node in ast.walk(bare):
        if isinstance(node, ast.arg):
            node.annotation = None
    bare.returns = None
    return bare


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return "_target_" not in value and all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list) else "${" not in str(value) and value != "???"
