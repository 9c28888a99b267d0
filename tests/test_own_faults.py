"""What a user's own part does while it is built or runs, raise, end Python or change torch, is a line that names it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

from ssvae_cli.cli import job
from ssvae_cli.critics import InnerProduct
from ssvae_cli.errors import PartError
from ssvae_cli.evaluation.evaluation import Evaluation
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.own_faults import own_fault


def raises(self, *arguments):
    raise KeyError("oops")


@pytest.mark.parametrize("method, words", [(raises, "KeyError: 'oops' in line"), (lambda self: None, "TypeError: ")])
def test_what_an_own_part_raises_while_it_runs_names_its_key(method, words, monkeypatch):
    method.__qualname__ = "Broken.__call__"
    own = type("Broken", (), {"__call__": method, "__module__": __name__})
    monkeypatch.setattr(sys.modules[__name__], "Broken", own, raising=False)
    config = OmegaConf.create({"pairs": {"_target_": f"{__name__}.Broken"}, "prior": {"_target_": "ssvae_cli.x"}})
    with pytest.raises((KeyError, TypeError)) as raised:
        own()(1, 2)
    error = raised.value if method is raises else raised.value.with_traceback(None)
    assert f"pairs: {__name__}.Broken raised {words}" in str(own_fault(error, config))
    assert own_fault(error, OmegaConf.create({"prior": {"_target_": "ssvae_cli.x"}})) is None


class Leaving:
    """A part that ends Python, or changes torch for all others."""

    def __init__(self, does: str):
        sys.exit(3) if does == "leave" else torch.set_default_dtype(torch.float64)

    @staticmethod
    def metric(reading, split):
        torch.set_default_dtype(torch.float64)
        return {}


@pytest.mark.parametrize("does, words", [("leave", "raised SystemExit: 3"), ("widen", "sets torch's default dtype, ")])
def test_a_part_that_ends_python_or_changes_torch_is_named(does, words):
    config = OmegaConf.create({"_target_": f"{__name__}.Leaving", "does": does})
    with pytest.raises(PartError, match=f"encoder.backbone: {__name__}.Leaving {words}"):
        build(config, "encoder.backbone")
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize(
    "line, words",
    [
        ("exit(3)", "importing it raised SystemExit: 3"),
        ("import torch; torch.set_default_dtype(torch.float64)", "its module sets torch's default"),
    ],
)
def test_a_module_that_ends_python_or_changes_torch_is_named(line, words, tmp_path, monkeypatch):
    (tmp_path / "own_of_this_test.py").write_text(f"import sys; {line.replace('exit', 'sys.exit')}\nPart = dict\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_of_this_test", raising=False)
    with pytest.raises(PartError, match=f"prior._target_ = own_of_this_test.Part: {words}"):
        build(OmegaConf.create({"_target_": "own_of_this_test.Part"}), "prior")
    sys.modules.pop("own_of_this_test", None)
    assert torch.get_default_dtype() is torch.float32


def share(reading, split, *, least: float = 0.5):
    return {f"share/{split}": least}


def test_a_function_serves_as_a_metric_and_what_it_raises_names_its_key():
    config = OmegaConf.create({"_target_": f"{__name__}.share", "_partial_": True, "least": 0.25})
    assert build(config, "evaluation.metrics.own")(None, "test") == {"share/test": 0.25}
    with pytest.raises(PartError, match=f"evaluation.metrics.own: {__name__}.share raised TypeError"):
        build(config, "evaluation.metrics.own")(None)


def test_a_metric_that_changes_torch_is_named_and_one_that_ends_python_too(monkeypatch):
    evaluation = Evaluation(metrics={"own": Leaving.metric}, fitting_pairs=5, density=None)
    reading = SimpleNamespace(objective=torch.nn.Identity())
    with pytest.raises(PartError, match="evaluation.metrics.own: function sets torch's default dtype"):
        evaluation(reading, "test")
    monkeypatch.setitem(sys.modules, "own_of_this_test", SimpleNamespace(leave=lambda *_: sys.exit(3)))
    hydra = OmegaConf.create({"runtime": {"choices": {}}, "job": {"config_name": "train"}, "overrides": {"task": []}})
    config = OmegaConf.create({"evaluation": {"own": {"_target_": f"{__name__}.Leaving"}}})
    with pytest.raises(PartError, match="evaluation.own: .*Leaving raised SystemExit: 3 in line"):
        job.call("own_of_this_test:leave", config, Path(), hydra, resume=None)


def test_what_a_method_that_an_own_part_inherits_raises_of_its_answer_names_its_key(monkeypatch):
    own = type("Dot", (InnerProduct,), {"factors": lambda self, z, z_prime: z, "__module__": __name__})
    monkeypatch.setattr(sys.modules[__name__], "Dot", own, raising=False)
    z = torch.zeros(3, 2)
    with pytest.raises(TypeError) as raised:
        own()(z, z)
    frames = raised.value.with_traceback(raised.tb.tb_next)  # without this test's
    said = str(own_fault(frames, OmegaConf.create({"prior": {"critic": {"_target_": f"{__name__}.Dot"}}})))
    assert said.startswith(f"prior.critic: {__name__}.Dot raised TypeError: ") and said.endswith("critics.py")
