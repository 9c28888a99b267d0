"""What a user's own method or estimator of `ssvae mi` does wrong, and what becomes of the others.

1. An estimator is tried before anything is fitted.
2. A method that raises, or answers with something else, has a line that says so; the others keep theirs.
3. A fault of a shipped method stays one.
"""

import json

import numpy as np
import pytest
import torch

from helpers import composed, ssvae
from ssvae_cli.errors import PartError
from ssvae_cli.estimators import DV, MINE, ScoreEstimator
from ssvae_cli.evaluation.fresh_critics import require_information
from ssvae_cli.mi.analysis import read
from ssvae_cli.mi.classical import GaussianCopula
from ssvae_cli.mi.data import pose
from ssvae_cli.mi.problem import Method
from ssvae_cli.mi.recommend import recommend
from ssvae_cli.mi.report import summary
from ssvae_cli.mi.splits import Split

OWN = """
from ssvae_cli.estimators import ScoreEstimator
from ssvae_cli.mi.problem import Method
class Raises(Method):
    def __call__(self, problem): raise KeyError("oops")
class Broken(ScoreEstimator):
    name = "broken"
    def forward(self, scores): return scores.missing.mean()
"""
SMALL = ["task.samples=100", "zero_check=false"]
QUICK = [f"methods.{name}=null" for name in ("classifier", "quantiles", "entropies")]
QUICK += [f"estimators.{name}=null" for name in ("infonce", "nwj", "dv", "smile")]


class Constant(ScoreEstimator):
    name = "constant"

    def forward(self, scores):
        return torch.zeros(())


class Raises(Method):
    def __call__(self, problem):
        return problem.missing


class Words(Method):
    def __call__(self, problem):
        return "0.5"


def problem():
    x = np.random.default_rng(0).normal(size=(100, 1))
    return pose(
        x, x + np.random.default_rng(1).normal(size=(100, 1)), Split(validation=0.1, test=0.2, at_most=2048, folds=3), 0
    )


def test_an_estimator_is_tried_before_anything_is_fitted():
    with pytest.raises(PartError, match="what Constant gives has no gradient"):
        require_information({"dv": DV(), "constant": Constant()})


def test_trying_an_estimator_leaves_it_and_the_random_state_as_they_were():
    estimator, before = MINE(decay=0.9), torch.get_rng_state()
    state = {name: value.clone() for name, value in estimator.state_dict().items()}
    require_information({"mine": estimator})
    assert all(torch.equal(value, state[name]) for name, value in estimator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "method, said",
    [(Raises(), "Raises raised AttributeError: "), (Words(), "it gave '0.5', and not a Reading with an Estimate")],
)
def test_a_method_that_fails_is_a_line_and_the_others_keep_theirs(method, said):
    posed = problem()
    lines = list(read({"own": method, "copula": GaussianCopula()}, posed, True, lambda name: None))
    assert [line.name for line in lines] == ["own", "copula"] and lines[1].failure is None
    assert lines[0].note().startswith("failed: ") and said in lines[0].note()
    values = json.loads(json.dumps(summary(lines, recommend(lines, posed), 100)))
    assert values["mi/own/test"] is None and said in values["mi/own/failure"] and values["mi/copula/test"] > 0


def test_a_fault_of_a_shipped_method_stays_one(monkeypatch):
    monkeypatch.setattr(GaussianCopula, "__call__", lambda self, problem: problem.missing)
    with pytest.raises(AttributeError):
        list(read({"copula": GaussianCopula()}, problem(), False, lambda name: None))


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "of_mi.py").write_text(OWN)
    for group, name in (("method", "Raises"), ("estimator", "Broken")):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "own.yaml").write_text(f"_target_: of_mi.{name}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_table_is_written_all_the_same(own):
    words = ["--config-dir", "conf", "+method@methods.own=own", *SMALL, *QUICK, "hydra.run.dir=run"]
    assert ssvae("mi", *words) == 0
    values = json.loads((own / "run" / "summary.json").read_text())
    assert "Raises raised KeyError: 'oops' (line 5 of" in values["mi/own/failure"] and values["mi/ksg/test"] is not None
    assert values["mi/recommended"] is not None


@pytest.mark.parametrize("words", [SMALL, SMALL[:1] + ["lags=0..1"], ["data=classes.npz"], ["data=given.npz"]], ids=str)
def test_where_every_method_fails_the_exit_code_says_so_and_the_table_is_written(words, own, capfd):
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 100, 1))
    np.savez("classes.npz", x=x, y=y, z=np.arange(100) % 2)
    np.savez("given.npz", x=x, y=y, z=z)
    left_out = [f"{group}.{name}=null" for group in ("methods", "estimators") for name in composed(command="mi")[group]]
    assert ssvae("mi", "--config-dir", "conf", "+method@methods.own=own", *left_out, *words, "hydra.run.dir=run") == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("ssvae: no method gave an estimate: own: Raises raised KeyError: 'oops' (line 5 of ")
    values = json.loads((own / "run" / "summary.json").read_text())
    key = "mi/lag/1" if "lags=0..1" in words else "mi/recommended"
    assert values[key] is None and ("lag" in key or "oops" in values["mi/own/failure"])


def test_a_method_that_fails_at_every_lag_is_said_once_and_the_others_keep_theirs(own, capfd):
    words = ["--config-dir", "conf", "+method@methods.own=own", SMALL[0], "lags=0..2", "hydra.run.dir=run"]
    assert ssvae("mi", *words) == 0
    assert capfd.readouterr().err.count("own failed: Raises raised KeyError: 'oops'") == 1
    assert json.loads((own / "run" / "summary.json").read_text())["mi/lag/1"] is not None


def test_where_no_method_that_is_left_takes_such_pairs_the_exit_code_says_so(own, capfd):
    left = [f"methods.{name}=null" for name in composed(command="mi").methods if name != "counts"]
    assert ssvae("mi", *SMALL, *QUICK, *left, "hydra.run.dir=run") == 2
    assert capfd.readouterr().err.endswith("no method gave an estimate: none that is left takes such pairs\n")


def test_a_faulty_estimator_is_a_line_before_any_method_runs(own, capfd):
    words = ["+estimator@estimators.own=own", *SMALL]
    assert ssvae("mi", "--config-dir", "conf", *words, "hydra.run.dir=run") == 2
    out, err = capfd.readouterr()
    assert "estimators.own: of_mi.Broken raised AttributeError" in err and "method" not in out + err
    assert not (own / "run" / "metrics.jsonl").exists()
