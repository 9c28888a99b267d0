"""A command on a run reads other data by the run's own pairs, which are made of those data, or refuses them."""

import numpy as np
import pytest

import ssvae_cli
from helpers import FILE_RUN, composed, refused, ssvae
from ssvae_cli.datasets.checked import make_data
from ssvae_cli.errors import UserError
from ssvae_cli.load_run import cautions, is_scaled, load_run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 5)).astype(np.float32)
LABELLED = {"x": RNG.integers(0, 256, (80, 8, 8), np.uint8), "y": np.arange(80) % 2}
PAIRED = {"x": X, "x2": X + 1}
OTHER_X_PRIME = {"x": X, "x2": X[:, :3]}
GAUSSIAN = ["dataset.train=80", "dataset.validation=20", "dataset.test=20"]


@pytest.fixture
def run_on(tmp_path, monkeypatch):
    """Trains for no epoch on a data set; files of the others lie in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, arrays in {"labelled": LABELLED, "x": {"x": X}, "paired": PAIRED, "other": OTHER_X_PRIME}.items():
        np.savez(f"{name}.npz", **arrays)
    few = ["trainer.epochs=0", "evaluation=none", *FILE_RUN[1:-1]]
    return lambda *words: ssvae("train", *words, *few, "hydra.run.dir=RUN")


@pytest.mark.parametrize(
    "words", [["dataset=gaussian", *GAUSSIAN], ["dataset=npz", "dataset.path=labelled.npz", "pairs=supervised"]]
)
def test_pairs_that_are_drawn_from_the_data_are_drawn_from_the_other_data(words, run_on):
    assert run_on(*words) == 0
    other = [word for word in words if not word.startswith("pairs")]
    assert ssvae("eval", "run=RUN", *other, "evaluation=quick", "training.steps=20", "hydra.run.dir=out") == 0
    assert ssvae("embed", "run=RUN", *other, "score=pair", "hydra.run.dir=scored") == 0


def test_it_is_said_where_other_data_are_scaled_otherwise(run_on, capfd):
    np.savetxt("t.csv", X, delimiter=",", header="a,b,c,d,e", comments="")
    table = ["dataset=table", "dataset.path=t.csv"]
    scaled = lambda *words: is_scaled(make_data(composed(*words, command="train").dataset, fitted={}).fitted)
    assert scaled(*table) and not scaled(*table, "dataset.standardise=false") and not scaled(*VECTORS)
    assert run_on(*table) == 0
    for other in (table, VECTORS):
        load_run("RUN", device="cpu", trust=False, dataset=composed("run=RUN", *other, command="embed").dataset)
    said = [line for line in capfd.readouterr().err.splitlines() if "scaled" in line]
    assert said == ["run=RUN: its data were scaled, and these are read as they are"]


def test_it_is_said_where_the_runs_own_files_are_divided_in_another_way(run_on, capfd):
    assert run_on("dataset=npz", "dataset.path=x.npz") == 0
    np.savez("y.npz", x=X)
    for words in (
        [],
        ["dataset.test=0.5"],
        ["dataset.path=./x.npz", "dataset.validation=20"],
        ["dataset.path=y.npz", "dataset.test=9"],
    ):
        given = composed("run=RUN", "dataset=npz", "dataset.path=x.npz", *words, command="eval").dataset
        load_run("RUN", device="cpu", trust=False, dataset=given)
    said = [line.partition(":")[0] for line in capfd.readouterr().err.splitlines() if "trained on may be among" in line]
    assert len(said) == 2


def test_another_layer_is_said():
    run = {"_target_": "anndata", "path": "a.h5ad", "layer": "raw"}
    (said,) = cautions(run, run | {"path": "b.h5ad", "layer": None})
    assert said.startswith("dataset.layer was 'raw', now null: ")
    assert cautions(run, run) == [] == cautions(run, {"_target_": "npz", "path": "b.npz"})


def test_values_below_0_are_refused_to_a_run_that_took_their_logarithm(run_on, tmp_path):
    named = lambda values, name: np.savetxt(name, values, delimiter=",", header="a,b,c,d,e", comments="")
    named(np.abs(X), "t.csv")
    named(X / 10, "z.csv")  # as z-scores are
    assert run_on("dataset=table", "dataset.path=t.csv", "dataset.log1p=true") == 0
    other = composed("run=RUN", "dataset=table", "dataset.path=z.csv", command="embed").dataset
    with pytest.raises(UserError, match=r"z.csv: log1p is for values of at least 0, got -0\.\d+"):
        load_run("RUN", device="cpu", trust=False, dataset=other)
    with pytest.raises(UserError, match="^x: log1p is for values of at least 0"):
        ssvae_cli.load("RUN", device="cpu").z(X / 10)


VECTORS = ["dataset=npz", "dataset.path=x.npz"]
TWO_SIDES = ["dataset=paired", "dataset.path=paired.npz"]
REFUSED = {
    "a law that the data lack": (["dataset=gaussian", "dataset.dim=5", *GAUSSIAN], VECTORS, "conditional"),
    "an x' that the data lack": (TWO_SIDES, VECTORS, "data with their own x'"),
    "another x'": (TWO_SIDES, ["dataset=paired", "dataset.path=other.npz"], "one x' is [3]"),
}


@pytest.mark.parametrize("words, other, said", REFUSED.values(), ids=REFUSED)
def test_other_data_of_which_no_pairs_can_be_made_are_refused_before_anything_is_written(
    words, other, said, run_on, tmp_path, capfd
):
    assert run_on(*words) == 0
    before = sorted(tmp_path.iterdir())
    for command in (["eval"], ["embed", "score=pair"], ["finetune"]):
        assert said in refused(capfd, *command, "run=RUN", *other, "hydra.run.dir=out")
    assert sorted(tmp_path.iterdir()) == before
    clean = load_run(
        "RUN", device="cpu", trust=False, dataset=composed("run=RUN", *other, command="embed").dataset, in_pairs=False
    )
    assert clean.pairs.clean(next(clean.data.test.batches(8))).shape[1:] == (5,)
