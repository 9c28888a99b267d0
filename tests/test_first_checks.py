"""What constructors refuse of plain values, run from their source.

1. It is what the constructor itself refuses, in the same words; of the shipped choices nothing.
2. A statement that needs what is not plain does not run, nor what depends on it, nor what may come after a return.
"""

import ast

import pytest
from omegaconf import OmegaConf

from helpers import composed
from ssvae_cli.cli.checks import check
from ssvae_cli.errors import UserError
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.first_checks import check_call, check_values
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.instantiate.source import Found

WRONG = {
    "trainer.batch_size": 1,
    "trainer.ema": 2,
    "optimizer.lr": -1,  # in the class above
    "optimizer.accumulate": 0,
    "dataset.root": "nope",
    "evaluation.rows": 1,
    "evaluation.density.training.steps": -1,  # of a part in a part
    "pairs.std": 0,
    "pairs.noise.std": -1,
}


def refusal(check, *arguments, **named) -> str | None:
    try:
        check(*arguments, **named)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("key", WRONG)
def test_a_value_is_refused_in_the_words_of_its_constructor(key):
    config = composed("dataset=mnist")
    OmegaConf.update(config, key, WRONG[key])
    part = key.split(".")[0]
    node = OmegaConf.masked_copy(config, [part])
    without = refusal(check_values, OmegaConf.to_container(node))
    assert without is not None and without == refusal(build, config[part], part, fitted={})


def test_no_shipped_choice_is_refused():
    for file in conf().rglob("*.yaml"):
        said = refusal(check_values, OmegaConf.to_container(OmegaConf.load(file)))
        assert said is None or "of the extra" in said, file


def test_the_run_whose_weights_a_run_began_with_may_be_gone_when_it_goes_on():
    choices = OmegaConf.create({"overrides": {"task": []}, "runtime": {"choices": {}}, "job": {"config_name": "train"}})
    config = composed("init_from=gone")
    said = [refusal(check, "ssvae_cli.train:train", config, choices, goes_on=on) for on in (False, True)]
    assert said == ["init_from=gone: no such folder; give the folder of a run", None]


@pytest.mark.parametrize(
    "body, refused",
    [
        ("require(x > 0, 'x')", True),
        ("if other: x = x\nrequire(x > 0, 'x')", False),  # which may have changed it
        ("if other: return\nrequire(x > 0, 'x')", False),
        ("if x < 0: return\nrequire(False, 'x')", False),
        ("y = torch.zeros(1)\nrequire(y > 0, 'y')\nrequire(x > 0, 'x')", True),
        ("y = [v + 1 for v in [x]]\nrequire_at_least(CHUNK, y=y[0])", True),
    ],
)
def test_what_needs_more_than_plain_values_does_not_run(body, refused):
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    function = ast.parse(f"def part(x, other):\n    from_elsewhere = other\n{lines}").body[0]
    found = Found("ssvae_cli.datasets.balls", function)  # whose imports and constants it sees
    assert (refusal(check_call, found, {"x": -1}) is not None) == refused
