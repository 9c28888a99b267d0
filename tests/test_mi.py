"""`ssvae mi`: what it says.

1. What diverged is a failure, never a number, and the recommended value says why it is the one.
2. A user's mistake is one line.
"""

import json
import math

import numpy as np
import pytest
import torch

from helpers import refused, ssvae
from ssvae_cli.estimators import ScoreEstimator
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.mi.recommend import Line, recommend
from ssvae_cli.mi.tasks import Gaussian


def gaussian(*, samples):
    return Gaussian(samples=samples, dim=2, mi=1.0, power=1).draw(np.random.default_rng(0))


# 1. Failures, and what is recommended.


def test_the_jackknife_error_of_a_mean_is_its_standard_error():
    table = torch.randn(10, 10, generator=torch.Generator().manual_seed(0)).double()
    estimate = Estimate.of_table(lambda t: t.diagonal().mean(), table)
    terms = table.diagonal()
    assert estimate.value == pytest.approx(terms.mean().item())
    assert estimate.error == pytest.approx((terms.std() / math.sqrt(10)).item())


FAILURES = [(math.nan, 0.1, "reads nan"), (math.inf, 0.1, "reads inf"), (1.0, math.nan, "too few pairs")]
FAILURES += [(-1656.0, 100.0, "diverged"), (3.0, 40.0, "diverged"), (2.0, 0.0, "nothing varies")]


@pytest.mark.parametrize("value, error, said", FAILURES)
def test_what_is_no_estimate_says_why(value, error, said):
    assert said in Estimate(value, error).failure()


@pytest.mark.parametrize("value, error", [(0.0, 0.01), (-0.02, 0.01), (5.0, 0.4), (-0.4, 0.1)])
def test_an_estimate_near_zero_or_of_moderate_error_stands(value, error):
    assert Estimate(value, error).failure() is None


def line(name, value, error=0.05, ceiling=math.inf, shuffled=0.0):
    return Line(name, "", ceiling, Estimate(value, error), 0, Estimate(shuffled, 0.01))


@pytest.mark.parametrize(
    "lines, name, value",
    [
        ([line("infonce", 1.9), line("entropies", 2.0)], "difference of entropies", 2.0),
        ([line("infonce", 2.6), line("entropies", 2.0)], "infonce", 2.6),
        ([line("infonce", 1.9), line("entropies", math.nan)], "infonce", 1.9),
        ([line("infonce", 1.9), line("entropies", 2.0, shuffled=0.5)], "infonce", 1.9),
        ([line("entropies", math.nan), line("ksg", 1.5)], "ksg", 1.5),
    ],
)
def test_the_recommended_value_and_its_reason(lines, name, value):
    best = recommend(lines)
    assert best.value == value and best.why.startswith(name)
    assert best.low == pytest.approx(value - 1.96 * 0.05) and best.high == pytest.approx(value + 1.96 * 0.05)


def test_nothing_is_recommended_where_nothing_stands():
    best = recommend([line("infonce", -1e5), line("entropies", math.nan)])
    assert math.isnan(best.value) and "no estimate stands" in best.why


def test_an_estimate_at_its_ceiling_is_warned_of():
    assert "ceiling of 4.16" in line("infonce", 3.9, ceiling=math.log(64)).note()
    assert line("infonce", 2.0, ceiling=math.log(64)).note() == ""


class Exploding(ScoreEstimator):
    """An estimator that diverges."""

    name, bound = "nwj", "lower"

    def forward(self, scores):
        return scores.positives.mean() - 1e6


SMALL = ["training.steps=100", "training.eval_every=50", "entropies.hidden=32", "critic.hidden=[32]"]
FEW = [f"~estimator@estimators.{name}" for name in ("interpolated", "tuba", "js", "dv", "mine", "smile")]


def run(tmp_path, *overrides):
    assert ssvae("mi", *SMALL, *FEW, *overrides, f"hydra.run.dir={tmp_path}/run") == 0
    return json.loads((tmp_path / "run" / "summary.json").read_text())


def test_the_command_reads_a_users_pairs_and_reports_what_diverged_as_failed(tmp_path, capsys):
    x, y, exact = gaussian(samples=1000)
    np.savez(tmp_path / "pairs.npz", x=x, y=y[:, 0])  # one column may come as [N]
    summary = run(tmp_path, f"data={tmp_path}/pairs.npz", "estimators.nwj._target_=test_mi.Exploding")
    assert summary["mi/recommended/low"] < exact / 2 < summary["mi/recommended/high"]
    assert summary["mi/nwj/test"] is None and "diverged" in summary["mi/nwj/failure"]
    assert summary["data/exact"] is summary["data/task"] is None and summary["data/pairs"] == 1000
    out = capsys.readouterr().out
    assert "failed: diverged" in out and "recommended: 0." in out and "why: " in out
    lines = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"infonce", "entropies"} <= {text["estimator"] for text in lines}
    assert (tmp_path / "run" / "figures" / "curves.png").stat().st_size > 10_000


def test_independent_pairs_have_a_recommended_interval_at_zero(tmp_path):
    summary = run(tmp_path, "task=independent", "task.samples=1000", "zero_check=false")
    assert summary["data/exact"] == 0 and summary["mi/recommended/low"] < 0.02
    assert summary["mi/infonce/shuffled"] is None


def test_ten_pairs_are_enough_to_run_and_too_few_to_pretend(tmp_path):
    summary = run(tmp_path, "task.samples=10")
    assert summary["mi/gaussian_copula/test"] is None
    assert summary["mi/entropies/test"] is None


def test_without_data_the_task_is_named_with_its_information_before_the_table(tmp_path, capfd):
    summary = run(tmp_path, "task.samples=10", "zero_check=false")
    assert summary["data/task"] == "gaussian"
    said = capfd.readouterr().err
    assert said.index("task=gaussian, I is 2.000 nats: 10 pairs, x [20], y [20]") < said.index("estimator 1/")


# 2. Mistakes.

X, Y = gaussian(samples=20)[:2]
FILES = {
    "unequal lengths": ({"x": X, "y": Y[:15]}, ["equal length", "20 and 15"]),
    "NaN": ({"x": np.where(np.arange(40).reshape(20, 2) == 6, np.nan, X), "y": Y}, ["x has 1 values", "row 3"]),
    "infinity": ({"x": X, "y": np.where(np.arange(40).reshape(20, 2) == 0, np.inf, Y)}, ["y has 1 values"]),
    "constant column": ({"x": np.column_stack([X, np.ones(20)]), "y": Y}, ["x: column 2 is constant"]),
    "nine rows": ({"x": X[:9], "y": Y[:9]}, ["at least 10 rows, got 9"]),
    "wrong key": ({"x": X, "Y": Y}, ["unknown array 'Y'", "allowed: x, y"]),
    "one key": ({"x": X}, ["must hold x and y, got x"]),
    "nothing": ({}, ["got nothing"]),
    "three dimensions": ({"x": X[None], "y": Y}, ["x must be [N, d] or [N], got [1, 20, 2]"]),
    "no columns": ({"x": X[:, :0], "y": Y}, ["no columns"]),
    "words": ({"x": np.full((20, 1), "a"), "y": Y}, ["x must hold numbers"]),
    "complex": ({"x": X + 1j, "y": Y}, ["x must hold numbers, got complex128"]),
    "objects": ({"x": np.array([None] * 20), "y": Y}, ["Python objects"]),
}
OVERRIDES = {
    "no such file": (["data=nowhere.npz"], ["data=nowhere.npz: no such file"]),
    "unknown task": (["task=gausian"], ["task=gausian", "did you mean 'gaussian'"]),
    "unknown critic": (["prior/critic@critic=concat"], ["critic=concat", "mlp, rbf, separable"]),
    "unknown key": (["traning.steps=3"], ["traning", "training"]),
    "unknown estimator": (["estimator@estimators.infonce=infonc"], ["infonc", "did you mean 'infonce'"]),
    "negative mi": (["task.mi=-1"], ["task.mi must be at least 0, got -1"]),
    "even power": (["task=cubic", "task.power=2"], ["task.power must be odd"]),
    "no degrees of freedom": (["task=student", "task.df=0"], ["task.df must be above 0"]),
    "no noise": (["task=additive", "task.noise=0"], ["task.noise must be above 0"]),
    "flat spiral": (["task=spiral", "task.dim=1"], ["task.dim must be at least 2"]),
    "nine samples": (["task.samples=9"], ["task.samples must be at least 10"]),
    "leave-one-out": (["estimator@estimators.infonce=leave_one_out"], ["infonce: leave_one_out", "`estimates` has mi"]),
    "entropy estimator": (["estimator@estimators.infonce=kde"], ["estimators.infonce: kde"]),
    "no steps": (["training.steps=0"], ["training.steps must be at least 1"]),
    "no batch": (["training.batch_size=1"], ["training.batch_size must be at least 2"]),
    "no rate": (["training.lr=0"], ["training.lr must be above 0"]),
    "test takes all": (["split.test=0.7"], ["split.test must lie between 0 and 0.5"]),
    "no components": (["entropies.components=0"], ["entropies.components must be at least 1"]),
    "a check that is none": (["zero_check=maybe"], ["zero_check must be true or false"]),
}


@pytest.fixture
def refusal(tmp_path, monkeypatch, capfd):
    """The line with which `ssvae mi OVERRIDES` is refused, leaving nothing."""

    def line(*overrides):
        monkeypatch.chdir(tmp_path)
        said = refused(capfd, "mi", *overrides, "hydra.run.dir=run")
        assert not (tmp_path / "run").exists()
        return said

    return line


@pytest.mark.parametrize("name", FILES)
def test_bad_arrays_are_one_line(name, tmp_path, refusal):
    arrays, said = FILES[name]
    np.savez(tmp_path / "pairs.npz", **arrays)
    line = refusal("data=pairs.npz")
    assert all(words in line for words in said), line


@pytest.mark.parametrize("name", OVERRIDES)
def test_bad_options_are_one_line(name, refusal):
    overrides, said = OVERRIDES[name]
    line = refusal(*overrides)
    assert all(words in line for words in said), line


def test_a_file_that_is_no_npz_is_one_line(tmp_path, refusal):
    (tmp_path / "pairs.npz").write_bytes(b"not an archive")
    assert "cannot be read as an .npz" in refusal("data=pairs.npz")
    np.save(tmp_path / "pairs.npy", X)
    assert "one array, not an .npz" in refusal("data=pairs.npy")
