"""Cells in .h5ad files, and the dropout of their genes.

1. Counts are normalised, and genes chosen, by train alone; what a file does not have is one line.
2. A dropped gene reads as a measurement of zero, independently in both views.
"""

import json

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from helpers import FILE_RUN, SHARED, composed, read_data, refused, ssvae
from ssvae_cli.datasets.anndata import _marks
from ssvae_cli.errors import UserError
from ssvae_cli.pairs.base import make_pairs

pandas = pytest.importorskip("pandas", reason="the extra `table` is not installed")


def cells(path, sparse: bool = True, count: int = 80, seed: int = 0):
    """Counts of 30 genes in cells of two types, of very different depth; the last gene is never read."""
    anndata = pytest.importorskip("anndata", reason="the extra `anndata` is not installed")
    rng = np.random.default_rng(seed)
    kind, depth = rng.integers(0, 2, count), rng.choice([0.5, 5], count)
    rates = np.array([np.linspace(0.1, 3, 29), np.linspace(3, 0.1, 29)])[kind] * depth[:, None]
    x = np.concatenate([rng.poisson(rates), np.zeros((count, 1))], 1).astype(np.float32)
    obs = pandas.DataFrame(
        {"type": pandas.Categorical(np.array(["B cell", "T cell"])[kind]), "depth": depth, "donor": "d1"},
        index=[f"cell{seed}{i}" for i in range(count)],
    )
    var = pandas.DataFrame({"highly_variable": np.arange(30) % 3 == 0}, index=[f"gene{i}" for i in range(30)])
    stored = anndata.AnnData(csr_matrix(x) if sparse else x, obs, var, layers={"double": 2 * x})
    stored.write_h5ad(path)
    return x, obs


@pytest.mark.parametrize("sparse", (True, False))
def test_counts_are_normalised_and_scaled_by_train(tmp_path, sparse):
    x, obs = cells(tmp_path / "a.h5ad", sparse)
    data = read_data("anndata", tmp_path / "a.h5ad", "dataset.label=type", "dataset.factors=[depth,donor]")
    assert data.classes == ("B cell", "T cell") and [factor.classes for factor in data.factors] == [None, 1]
    logs = np.log1p(x / np.maximum(x.sum(1, keepdims=True), 1e-9) * 1e4)[:, :29]
    train = logs[data.train.row.numpy()]
    for name, split in data.splits.items():
        rows = split.row.numpy()
        z = (logs[rows] - train.mean(0)) / train.std(0)
        assert np.allclose(split.x, z, atol=1e-4)
        assert data.listing()[name] == list(obs.index[rows])
        assert [data.classes[y] for y in split.y] == list(obs["type"].iloc[rows])
    assert np.allclose(data.zero, -train.mean(0) / train.std(0), atol=1e-4)
    plain = read_data("anndata", tmp_path / "a.h5ad", "total=null", "log1p=false", "standardise=false", "layer=double")
    assert np.allclose(plain.test.x, 2 * x[plain.test.row.numpy()][:, :29]) and not plain.zero.any()
    other, _ = cells(tmp_path / "b.h5ad", not sparse, seed=1)
    again = read_data("anndata", tmp_path / "b.h5ad", "dataset.label=type", fitted=data.fitted)
    other = np.log1p(other / np.maximum(other.sum(1, keepdims=True), 1e-9) * 1e4)[:, :29]
    assert np.allclose(again.test.x, (other[again.test.row] - train.mean(0)) / train.std(0), atol=1e-4)


def test_genes_are_chosen_by_train_or_as_they_are_marked(tmp_path):
    x, _ = cells(tmp_path / "a.h5ad")
    marked = read_data("anndata", tmp_path / "a.h5ad", "genes=marked")
    assert marked.fitted["columns"] == [f"gene{i}" for i in range(0, 30, 3)]
    data = read_data("anndata", tmp_path / "a.h5ad", "genes=5")
    train = (x / np.maximum(x.sum(1, keepdims=True), 1e-9))[data.train.row.numpy()][:, :29]
    best = np.argsort(-train.var(0) / train.mean(0))[:5]
    assert data.fitted["columns"] == [f"gene{i}" for i in sorted(best)]
    again = read_data("anndata", tmp_path / "a.h5ad", fitted=data.fitted)
    assert torch.equal(again.train.x, data.train.x)


MARKS = {  # as files hold them: which of four genes are marked
    "booleans": ([True, False, True, False], [True, False, True, False]),
    "words": (["True", "False", "true", "nan"], [True, False, True, False]),
    "numbers": ([1.0, 0.0, np.nan, 1.0], [True, False, False, True]),
    "missing": (pandas.array([True, None, False, True], "boolean"), [True, False, False, True]),
}


@pytest.mark.parametrize("kind", MARKS)
def test_a_gene_is_marked_by_true_alone_however_the_file_holds_it(kind):
    column, marked = MARKS[kind]
    assert _marks(pandas.Series(column), "var.highly_variable").tolist() == marked


def test_marks_that_are_neither_true_nor_false_are_a_line():
    with pytest.raises(UserError, match="var.highly_variable must be true or false, got high, low"):
        _marks(pandas.Series(["high", "low"]), "var.highly_variable")


WRONG_CELLS = {
    "label=typ": "no column of obs 'typ'; did you mean 'type'?",
    "factors=[donors]": "did you mean 'donor'?",
    "layer=doubl": "no layer 'doubl'; did you mean 'double'?",
    "layer=raw": "no layer 'raw'",
    "label=depth": "a label is a class; dataset.factors=[depth]",
    "genes=0": "genes must be at least 1",
    "total=0": "total must be at least 1",
}


@pytest.mark.parametrize("override", WRONG_CELLS)
def test_what_cells_do_not_have_is_a_line(tmp_path, override):
    cells(tmp_path / "a.h5ad")
    with pytest.raises(UserError) as error:
        read_data("anndata", tmp_path / "a.h5ad", override)
    assert WRONG_CELLS[override] in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_h5ad_is_a_line(tmp_path):
    pytest.importorskip("anndata", reason="the extra `anndata` is not installed")
    (tmp_path / "a.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    with pytest.raises(UserError, match="cannot be read as .h5ad"):
        read_data("anndata", tmp_path / "a.h5ad")


def test_dropped_genes_read_as_a_measurement_of_zero(tmp_path):
    cells(tmp_path / "a.h5ad", count=300)
    data = read_data("anndata", tmp_path / "a.h5ad")
    pairs = make_pairs(composed("pairs=dropout", "pairs.probability=0.25").pairs, data)
    batch = next(data.train.batches(200))
    x, x_prime = pairs(batch, torch.Generator().manual_seed(0))
    for side in (x, x_prime):
        dropped = side != batch.x
        assert torch.equal(side[dropped], data.zero.expand_as(side)[dropped])
        present = batch.x != data.zero
        assert (dropped[present].float().mean() - 0.25).abs() < 0.03
    both = ((x != batch.x) & (x_prime != batch.x))[batch.x != data.zero].float().mean()
    assert (both - 0.25**2).abs() < 0.02  # independent
    assert torch.equal(pairs.clean(batch), batch.x)


def test_dropout_is_for_vectors(capfd):
    assert "pairs=dropout is for vectors [D], and one x is [1, 8, 8]" in refused(capfd, "train", "pairs=dropout")


def test_real_cells_train_and_embed_others(tmp_path):
    pytest.importorskip("anndata", reason="the extra `anndata` is not installed")
    path = SHARED / "cells" / "pbmc68k_reduced.h5ad"
    if not path.is_file():
        pytest.skip("the file of blood cells is not there")
    cells = ["dataset=anndata", f"dataset.path={path}", "dataset.layer=raw"]
    own = [*cells, "dataset.label=bulk_labels", "dataset.genes=100", "dataset.limit=300"]
    own += [*FILE_RUN, "trainer.epochs=3", "encoder.backbone.hidden=[64]"]
    run = tmp_path / "run"
    assert ssvae("train", *own, f"hydra.run.dir={run}") == 0
    assert json.loads((run / "summary.json").read_text())["probe/linear/test"] > 0.5  # ten types
    out = f"hydra.run.dir={tmp_path}/out"
    assert ssvae("embed", str(run), *cells, out) == 0
    assert len(np.load(tmp_path / "out" / "embeddings.npz")["name_test"]) > 40
