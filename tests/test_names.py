"""Every number that a run reports has a unit, or a reason why it has none, and so is taken for ssvae's own."""

import ast
import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest

import ssvae_cli
from ssvae_cli import evaluation
from ssvae_cli.evaluation import elbo_parts
from ssvae_cli.evaluation.unread import ON_VALIDATION
from ssvae_cli.tracking.names import UNITLESS, UNITS, entry, is_own, unit

NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)+")
COMMANDS = ("train.py", "finetune/command.py")  # which report numbers besides those of metrics


def of_metrics():
    """What metrics say that they give."""
    modules = [
        importlib.import_module(f"{evaluation.__name__}.{m.name}") for m in pkgutil.iter_modules(evaluation.__path__)
    ]
    return {key for module in modules for key in getattr(module, "KEYS", ())} | {
        k for ks in ON_VALIDATION.values() for k in ks
    }


def of_commands():
    """The names that stand in a command's source."""
    trees = [ast.parse((Path(ssvae_cli.__file__).parent / file).read_text()) for file in COMMANDS]
    strings = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {text for text in strings if isinstance(text, str) and NAME.fullmatch(text)} - {"images/s"}


def of_run(run):
    """The names in the files of a run."""
    lines = [(run / "summary.json").read_text(), *(run / "metrics.jsonl").read_text().splitlines()]
    return {name for line in lines for name in json.loads(line) if "/" in name}


def test_what_keep_best_may_name_is_what_a_run_reads_on_validation(finished):
    read = {name for name in of_run(finished) if name.endswith("/validation")}
    assert read == {key for keys in ON_VALIDATION.values() for key in keys} - {*elbo_parts.KEYS}  # not read by default


OF_LAWS = {"prior/scale", "truth/scale"}  # by the names of a law's parameters


def test_every_number_of_a_metric_a_command_and_a_run_has_a_unit_or_a_reason_for_none(finished):
    names = of_metrics() | of_commands() | of_run(finished) | OF_LAWS
    assert len(of_metrics()) > 60 and {"objective/train", "finetune/labels"} <= of_commands()
    assert "gradient/norm" in of_run(finished)
    assert {name for name in names if entry(name) is None or is_own(name)} == set()
    assert {entry(name) for name in names} == UNITS.keys() | UNITLESS.keys() and not UNITS.keys() & UNITLESS.keys()


@pytest.mark.parametrize(
    "name, said",
    {
        "mi/fresh/test/low": "nats",
        "kl/source": "",
        "eq23/residual": "nats",
        "eq23/residual_in_errors": "",
        "clusters/used/test": "",
        "finetune/loss/train": "nats",
        "mine/score": "",
    }.items(),
)
def test_the_unit_is_that_of_the_longest_beginning_that_has_one(name, said):
    assert unit(name) == said


def test_a_number_of_another_group_is_of_a_users_own_metric():
    assert is_own("mine/score") and not is_own("seed") and not is_own("clusters/accuracy/validation")
