"""`ssvae mi`: what it says of a user's pairs; a user's mistake is one line."""

import json
import math

import numpy as np
import pytest
import torch

from helpers import composed, refused, ssvae
from ssvae_cli.distributed.machine import machine
from ssvae_cli.estimators import ScoreEstimator
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.mi.command import over_lags
from ssvae_cli.mi.data import read_npz
from ssvae_cli.mi.recommend import Recommended
from ssvae_cli.mi.report import in_unit, lags
from ssvae_cli.mi.splits import Blocks, Split
from ssvae_cli.mi.tasks import Gaussian


def gaussian(*, samples):
    return Gaussian(samples=samples, dim=2, mi=1.0, power=1).draw(np.random.default_rng(0))


NO_ESTIMATOR = [f"~estimator@estimators.{name}" for name in ("infonce", "nwj", "dv", "smile")]


SPLIT = Split(validation=0.1, test=0.2, at_most=2048, folds=3)


class Exploding(ScoreEstimator):
    """An estimator that diverges."""

    name, bound = "nwj", "lower"

    def forward(self, scores):
        return scores.positives.mean() - 1e6


SMALL = ["training.steps=100", "training.eval_every=50", "critic.hidden=[32]"]
SMALL += ["methods.entropies.hidden=32", "methods.entropies.training.steps=100"]
FEW = [f"~estimator@estimators.{name}" for name in ("dv", "smile")]


def run(tmp_path, *overrides):
    assert ssvae("mi", *SMALL, *FEW, *overrides, f"hydra.run.dir={tmp_path}/run") == 0
    return json.loads((tmp_path / "run" / "summary.json").read_text())


@pytest.mark.drawn
def test_the_command_reads_a_users_pairs_and_reports_what_diverged_as_failed(tmp_path, capsys):
    x, y, exact, _ = gaussian(samples=1000)
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
    assert summary["mi/entropies/test"] is None and summary["mi/entropies/failure"] == "too few pairs"


@pytest.fixture
def series(tmp_path):
    """x of 600 rows that depend on their neighbours, and y that follows x by 3 rows; a constant column."""
    noise = np.random.default_rng(0).standard_normal((2, 603))
    x = np.zeros(603)
    for i in range(1, 603):
        x[i] = 0.7 * x[i - 1] + noise[0, i]
    y = np.roll(x, 3) + 0.5 * noise[1]
    np.savez(tmp_path / "series.npz", x=np.column_stack([x, np.ones(603)])[3:], y=y[3:])
    return tmp_path / "series.npz"


@pytest.mark.drawn
def test_lags_show_by_how_many_rows_y_follows_x(tmp_path, series, capfd):
    words = [f"data={series}", "split=blocks", "split.gap=10", "lags=0..5", "units=bits"]
    assert ssvae("mi", *words, f"hydra.run.dir={tmp_path}/run") == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    values = [summary[f"mi/lag/{lag}"] for lag in range(6)]
    assert np.argmax(values) == 3 and summary["mi/lag/3/low"] > 0.4
    out, err = capfd.readouterr()
    assert "largest: " in out and "bits at lag 3" in out
    assert "x: column 1 of 2 is constant and carries nothing: left out" in err
    assert (tmp_path / "run" / "figures" / "lags.png").stat().st_size > 10_000


def test_lags_count_the_rows_of_the_file_and_a_side_that_is_constant_there_is_nothing():
    """A reading that is held for two rows, and y two rows later; methods are not asked where I is infinite."""
    x = np.repeat(np.random.default_rng(0).standard_normal(40), 2)
    found = over_lags(x[:, None], np.roll(x, 2)[:, None], range(1, 4), {}, SPLIT, composed(command="mi"))
    values = {lag: best.value for lag, (_, best) in found.items()}
    assert values[2] == math.inf and math.isnan(values[1]) and math.isnan(values[3])
    once = np.eye(80)[:, :1]
    _, best = over_lags(once, x[:, None], range(-1, 0), {}, SPLIT, composed(command="mi"))[-1]
    assert "constant" in best.why


def test_reasons_and_notes_are_in_the_unit_of_the_table():
    assert in_unit("at its ceiling of 2.08 nats: more", "bits") == "at its ceiling of 3.00 bits: more"
    assert in_unit("0.693 nats (counts), 1.386 nats (ksg)", "bits") == "1.000 bits (counts), 2.000 bits (ksg)"
    assert in_unit("still grows, by about 0.30 nats with many more", "nats").endswith("0.30 nats with many more")


def test_a_lag_without_an_answer_says_why(capsys):
    lags({1: Recommended(*[math.nan] * 3, "no pairs"), 2: Recommended(1.0, 0.5, 1.5, "")}, "nats")
    assert "lag    1: nothing: no pairs\n" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_differences_of_large_integers_are_kept(kind, tmp_path):
    """Such as times in nanoseconds, of which float64 rounds 200 to one."""
    steps = np.arange(40)[:, None] * [1, 3]
    np.savez(tmp_path / "pairs.npz", x=(steps + 1_700_000_000_000_000_000).astype(kind), y=np.arange(40))
    assert (read_npz(str(tmp_path / "pairs.npz")).x == steps).all()


def test_it_is_said_where_blocks_are_shorter_than_rows_depend_on_each_other(caplog):
    sizes = {"validation": 0.1, "test": 0.2, "at_most": 2048, "folds": 3}
    for gap in (10, 50):
        Blocks(**sizes, blocks=20, gap=gap).check(600)
    (record,) = caplog.records
    assert "blocks=20 are of 30 rows, fewer than the gap, 50: errors are too small" in record.getMessage()


def test_what_is_known_through_z_is_not_counted_again(tmp_path, capfd):
    z, a, b, c = np.random.default_rng(0).standard_normal((4, 800))
    np.savez(tmp_path / "pairs.npz", x=z + 0.5 * a, y=z + 0.5 * b, z=z + 0.01 * c)
    quick = ["zero_check=false", "~estimator@estimators.nwj"]
    given = run(tmp_path, f"data={tmp_path}/pairs.npz", *quick)
    assert given["mi/recommended/low"] < 0.03 and given["mi/recommended"] < 0.15
    assert "I(x, z; y)" in given["mi/recommended/why"] and "given z [1]" in capfd.readouterr().err


CONVOLUTIONS = ["prior/critic@critic=convnet", "~estimator@estimators.nwj", "training.lr=0.005", "zero_check=false"]
CONVOLUTIONS += ["methods.entropies.widest=2"]  # of no use here, and slow


def test_images_are_read_by_convolutions_and_their_constant_pixels_are_left_out(tmp_path, capfd):
    rng = np.random.default_rng(0)
    images, place = np.zeros((600, 1, 8, 8)), rng.integers(1, 7, size=(600, 2))
    images[np.arange(600), 0, place[:, 0], place[:, 1]] = 1 + 0.1 * rng.standard_normal(600)
    np.savez(tmp_path / "pairs.npz", x=images, y=place[:, 0] + 0.1 * rng.standard_normal(600))
    summary = run(tmp_path, f"data={tmp_path}/pairs.npz", *CONVOLUTIONS)
    assert 1.0 < summary["mi/infonce/test"] < np.log(6) + 0.2
    assert "x [1, 8, 8], y [1]" in capfd.readouterr().err


def test_without_data_the_task_is_named_with_its_information_before_the_table(tmp_path, capfd):
    summary = run(tmp_path, "task.samples=10", "zero_check=false", "~estimator@estimators.infonce")
    assert summary["data/task"] == "gaussian" and "mi/ksg/test" in summary and "mi/infonce/test" not in summary
    said = capfd.readouterr().err
    pairs = f"task=gaussian, I is 2.000 nats: 10 pairs, x [20], y [20]; {machine(torch.device('cpu'))}"
    assert said.index(pairs) < said.index("method 1/")


X, Y = gaussian(samples=20)[:2]
NO_METHOD = [f"~method@methods.{path.stem}" for path in (conf() / "method").glob("*.yaml")]
FILES = {
    "unequal lengths": ({"x": X, "y": Y[:15]}, ["equal length", "20 and 15"]),
    "NaN": ({"x": np.where(np.arange(40).reshape(20, 2) == 6, np.nan, X), "y": Y}, ["x has 1 value that is", "row 3"]),
    "infinity": ({"x": X, "y": np.where(np.arange(40).reshape(20, 2) == 0, np.inf, Y)}, ["y has 1 value that is"]),
    "a constant": ({"x": np.ones(20), "y": Y}, ["x is constant: it carries nothing"]),
    "nine rows": ({"x": X[:9], "y": Y[:9]}, ["at least 10 rows, got 9"]),
    "wrong key": ({"x": X, "Y": Y}, ["unknown array 'Y'", "allowed: x, y, z"]),
    "one key": ({"x": X}, ["must hold x and y, got x"]),
    "nothing": ({}, ["got nothing"]),
    "three dimensions": ({"x": X[None], "y": Y}, ["x must be [N], [N, d] or [N, C, H, W], got [1, 20, 2]"]),
    "no columns": ({"x": X[:, :0], "y": Y}, ["no columns"]),
    "words": ({"x": np.full((20, 1), "a"), "y": Y}, ["x must hold numbers"]),
    "complex": ({"x": X + 1j, "y": Y}, ["x must hold numbers, got complex128"]),
    "x known by z": ({"x": X, "y": Y, "z": X}, ["z holds every column of x, or a function of it: I(x; y | z) is 0"]),
    "channels last": ({"x": np.zeros((20, 8, 8, 3)), "y": Y}, ["x has channels last, [20, 8, 8, 3]"]),
    "objects": ({"x": np.array([None] * 20), "y": Y}, ["Python objects; give arrays of numbers"]),
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
    "nothing left": ([*NO_ESTIMATOR, *NO_METHOD], ["every method and every estimator is left out"]),
    "no steps": (["training.steps=0"], ["training.steps must be at least 1"]),
    "no batch": (["training.batch_size=1"], ["training.batch_size must be at least 2"]),
    "no rate": (["training.lr=0"], ["training.lr must be above 0"]),
    "test takes all": (["split.test=0.7"], ["split.test must lie between 0 and 0.5"]),
    "no components": (["methods.entropies.components=0"], ["methods.entropies.components must be at least 1"]),
    "unknown units": (["units=nat"], ["units=nat", "did you mean 'nats'"]),
    "no lags": (["lags=3"], ["lags must be first..last"]),
    "too few blocks": (["split=blocks", "split.blocks=2"], ["split.blocks must be at least 10"]),
    "too many blocks": (
        ["task.samples=50", "split=blocks", "split.blocks=26"],
        ["leaves no two of 50 rows"],
    ),
    "no rows apart": (["task.samples=50", "split=blocks", "split.gap=50"], ["split.gap=50 leaves none of 50 rows"]),
    "lags too far": (["task.samples=50", "lags=0..41"], ["50 rows have 9 pairs 41 rows apart"]),
    "lags beyond all": (["task.samples=50", "lags=-999999999999..0"], ["50 rows have 0 pairs 999999999999 rows apart"]),
    "lags by nothing": (["lags=0..1", *NO_METHOD], ["lags are read by the methods without training"]),
    "a task beside a file": (["data=pairs.npz", "task=cubic"], ["task=cubic: with data=pairs.npz the pairs are those"]),
    "a key of it": (["data=pairs.npz", "task.mi=3"], ["task.mi=3: with data=pairs.npz", "leave it out"]),
    "training of none": (["lags=0..1", "training.steps=5"], ["training.steps=5: with lags=0..1 no network is trained"]),
    "a critic of none": (["lags=0..1", "prior/critic@critic=mlp"], ["with lags=0..1 no network is trained"]),
    "a check of none": (["lags=0..1", "zero_check=false"], ["zero_check=false: with lags=0..1"]),
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
    assert "no .npz file, as numpy.savez writes them" in refusal("data=pairs.npz")
    np.save(tmp_path / "pairs.npy", X)
    assert "one array, not an .npz" in refusal("data=pairs.npy")
