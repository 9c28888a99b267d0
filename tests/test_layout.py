"""The house: the README's map names every module, and each row of it uses the rows below it alone."""

import ast
import functools
import importlib
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "ssvae_cli"


@functools.cache
def modules() -> dict[str, Path]:
    """Dotted name below ssvae_cli -> file; a package by its own name."""
    paths = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in PACKAGE.rglob("*.py")}
    return {".".join(parts).removesuffix("__init__").rstrip("."): path for parts, path in paths.items()}


@functools.cache
def imports(path: Path) -> set[str]:
    """The modules of this package that a file imports, at its top or later."""
    known, found = modules(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ssvae_cli":
            inside = node.module.removeprefix("ssvae_cli").lstrip(".")
            deeper = [f"{inside}.{alias.name}".lstrip(".") for alias in node.names]
            found |= {name if name in known else inside for name in deeper}
    return found - {""}


def dotted(place: str) -> str:
    return place.rstrip("/").replace("/", ".")


def rows() -> list[tuple[list[str], str]]:
    """The map, from the top: what each row's first column names, and its second column."""
    text = (REPOSITORY / "README.md").read_text().split("## Where things are")[1]
    cells = re.findall(r"^\| (`.*?) \| (.*) \|$", text, re.M)
    return [(re.findall(r"`([\w/]+)`", first), second) for first, second in cells]


def test_the_map_names_every_module_and_nothing_else():
    named = {"": set()}
    for names, second in rows():
        places = [dotted(name) for name in names]
        named[""] |= set(places)
        if len(names) == 1 and "/" in names[0]:
            named[places[0]] = set(re.findall(r"`(\w+)`", second))
    for name in modules():
        package, _, module = name.rpartition(".")
        where = named[""] | ({f"{p}.{m}" for p, ms in named.items() for m in ms})
        assert not name or name in where, f"{name} is not in the README's map"
    known = set(modules())
    assert named[""] <= known | {"__main__"}
    for package, inside in named.items():
        assert not package or {f"{package}.{m}" for m in inside} <= known, package


def test_each_row_of_the_map_uses_the_rows_below_it_alone():
    floor = {dotted(name): i for i, (names, _) in enumerate(rows()) for name in names}

    def of(module: str) -> int:
        at = module
        while at not in floor:
            assert at, f"{module} is not in the README's map"
            at = at.rpartition(".")[0]
        return floor[at]

    for name, path in modules().items():
        for used in imports(path) if name else ():
            same_package = name.split(".")[0] == used.split(".")[0]
            assert same_package or of(name) < of(used), f"{name} imports {used}, which stands above it or beside it"


def test_no_modules_import_each_other_in_a_circle():
    graph, done = {name: imports(path) - {name} for name, path in modules().items()}, set()

    def visit(name: str, path: list[str]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for used in graph.get(name, ()):
                visit(used, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])


PROGRAMS = [path for place in ("benchmarks", "docs") for path in sorted((REPOSITORY / place).rglob("*.py"))]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_what_a_program_beside_the_package_imports_of_it_is_there(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ssvae_cli"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                inside = f"{node.module}.{alias.name}".removeprefix("ssvae_cli.")
                assert hasattr(module, alias.name) or inside in modules(), f"{node.module} has no {alias.name}"


def test_about_sixteen_modules_stand_at_the_top():
    assert len([p for p in PACKAGE.glob("*.py") if not p.name.startswith("__")]) <= 17


SEAMS = {  # what evaluation must not ask of a prior, so that a third kind of prior needs one class
    "isinstance on the kind of prior": r"isinstance\([^)]*Prior\)",
    "a test of a space's name": r"space\.name ==",
    "a test of how many latents it has": r"prior\.views\b",
}


@pytest.mark.parametrize("name", SEAMS)
def test_evaluation_asks_a_prior_and_does_not_look_at_its_kind(name):
    for path in [*(PACKAGE / "evaluation").glob("*.py"), PACKAGE / "eval.py"]:
        assert not re.search(SEAMS[name], path.read_text()), path


def test_no_configuration_hands_the_latent_dimension_over():
    for path in (REPOSITORY / "conf").rglob("*.yaml"):
        assert "${encoder.latent_dim}" not in path.read_text(), path


def test_no_configuration_forwards_to_another_of_the_same_content():
    for path in (REPOSITORY / "conf").rglob("*.yaml"):
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        assert not all(re.match(r"defaults:|  - /?[\w/]+@_here_|  - _self_", line) for line in lines), path


def test_a_choice_brings_another_by_one_idiom():
    for path in (REPOSITORY / "conf").rglob("*.yaml"):
        for line in re.findall(r"^ *- override (?!hydra/)(.*)$", path.read_text(), re.M):
            assert re.match(r"/[\w/]+@_global_\.[\w.]+: \w+", line), (path, line)


def test_the_training_loop_shows_its_forward_pass_its_backward_pass_and_its_update():
    loop = (PACKAGE / "train.py").read_text().split("for batch in ")[1]
    steps = ["elbo = forward(batch)", "(-elbo).backward()", "norm = optimization.step(step)"]
    assert sorted(steps, key=loop.index) == steps


def test_no_text_is_read_or_written_in_the_encoding_of_the_machine():
    wordless = (
        r'\.read_text\((?!"utf-8")(?!encoding=)|\.write_text\((?!.*"utf-8")|\bopen\(.*"(?:[rwax]|rt)"(?!.*encoding=)'
    )
    assert all(
        re.search(wordless, line) for line in ("p.read_text()", "at.write_text(x)", 'open(path, "w", newline="")')
    )
    lines = [(name, line) for name, path in modules().items() for line in path.read_text("utf-8").splitlines()]
    assert not [found for found in lines if re.search(wordless, found[1])]
