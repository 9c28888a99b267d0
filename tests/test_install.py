"""What installs ssvae says the same as setup.cfg: the conda recipe, the constraints, the Dockerfile."""

import configparser
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import ssvae_cli

REPOSITORY = Path(__file__).parents[1]
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # names there


def options() -> dict[str, str]:
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    return dict(config["options"]) | {"entry": config["options.entry_points"]["console_scripts"].strip()}


def required() -> dict[str, Requirement]:
    return {r.name: r for r in map(Requirement, options()["install_requires"].split("\n")[1:])}


def test_the_conda_recipe_needs_what_setup_needs():
    recipe = yaml.safe_load((REPOSITORY / "conda" / "meta.yaml").read_text())
    run = {name: given for name, _, given in (line.partition(" ") for line in recipe["requirements"]["run"])}
    assert run.pop("python") == options()["python_requires"]
    of_setup = {CONDA.get(name, name): need.specifier for name, need in required().items()}
    assert {name: Requirement(f"{name}{given}").specifier for name, given in run.items()} == of_setup
    assert recipe["package"]["version"] == ssvae_cli.__version__
    assert recipe["build"]["entry_points"] == [options()["entry"]]


def test_every_requirement_has_a_tested_version_that_it_allows():
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    for name, need in required().items():
        assert need.specifier.contains(pinned[name]), name


def test_the_image_installs_torch_and_torchvision_from_one_index_and_runs_the_command():
    text = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", "")
    steps = [line.split(None, 1) for line in text.splitlines() if re.match("[A-Z]+ ", line)]
    words = [step for step, _ in steps]
    assert words[0] == "FROM" and words[-2:] == ["ENTRYPOINT", "CMD"] and dict(steps)["ENTRYPOINT"] == '["ssvae"]'
    python = re.fullmatch(r"python:(\d\.\d+)-slim", dict(steps)["FROM"])[1]
    assert Requirement(f"x{options()['python_requires']}").specifier.contains(python)
    first, second = dict(steps)["RUN"].split("&&")
    assert re.search(r'--index-url "\$TORCH"} torch torchvision\s*$', first) and second.split()[-1] == "/src"
    for ignored in (".git", ".venv", "outputs"):
        assert ignored in (REPOSITORY / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize("extra", ["timm", "wandb", "mlflow", "onnx", "table", "anndata", "huggingface"])
def test_an_extra_that_an_error_names_is_there(extra):
    assert f"\n{extra} =\n" in (REPOSITORY / "setup.cfg").read_text()
