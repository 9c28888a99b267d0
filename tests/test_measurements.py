"""Tables, cells and data sets of Hugging Face.

1. Columns are read by their names, the label and factors apart; what cannot be read is one line.
2. Rows keep their sides when others are added, and equal rows or rows of one id are never divided.
3. What is fitted, is fitted to train alone and reused on other data: columns, scaling, classes.
"""

import json

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from scipy.sparse import csr_matrix

from helpers import PENALTY, SHARED, composed, refused, ssvae
from ssvae_cli.cli.suiting import suiting_overrides
from ssvae_cli.datasets.base import CONTRACT, Data
from ssvae_cli.errors import UserError
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.pairs.base import make_pairs

pandas = pytest.importorskip("pandas", reason="the extra `table` is not installed")
pytest.importorskip("pyarrow", reason="the extra `table` is not installed")


SHORT = ["trainer.epochs=1", "trainer.device=cpu", "trainer.batch_size=32", PENALTY]


def read(dataset: str, path, *overrides: str, fitted: dict | None = None) -> Data:
    """A data set as its YAML file and the overrides build it."""
    config = OmegaConf.load(conf() / "dataset" / f"{dataset}.yaml")
    del config["defaults"]
    given = [override.removeprefix("dataset.") for override in (f"path={path}", *overrides)]
    return build(OmegaConf.merge(config, OmegaConf.from_dotlist(given)), "dataset", CONTRACT, fitted=fitted or {})


def flowers(count: int = 60, seed: int = 0):
    """A table of two numbers, one constant, words, ids and missing labels."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["rose", "tulip"], count)
    return pandas.DataFrame(
        {
            "petal": rng.normal(5, 2, count),
            "leaf": rng.integers(0, 100, count),
            "unit": 1,
            "colour": rng.choice(["red", "white"], count),
            "species": np.where(np.arange(count) == 3, None, kind),
            "bed": [f"bed{i // 4}" for i in range(count)],
        }
    )


SAVED = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "semicolons.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "parquet": lambda frame, path: frame.to_parquet(path),
}


@pytest.mark.parametrize("kind", SAVED)
def test_a_table_of_any_kind_is_numbers_labels_and_factors(tmp_path, kind):
    frame, path = flowers(), tmp_path / f"flowers.{kind}"
    SAVED[kind](frame, path)
    data = read("table", path, "dataset.label=species", "dataset.factors=[colour,leaf]", "dataset.standardise=false")
    assert data.classes == ("rose", "tulip") and data.fitted["columns"] == ["petal"]
    assert [(factor.name, factor.classes) for factor in data.factors] == [("colour", 2), ("leaf", None)]
    seen = torch.cat([split.row for split in data.splits.values()]).sort().values
    assert seen.tolist() == list(range(60))
    for split in data.splits.values():
        rows = frame.iloc[split.row.numpy()]
        assert split.x.dtype == torch.float32 and np.allclose(split.x[:, 0], rows["petal"])
        assert [("", *data.classes)[y + 1] for y in split.y] == list(rows["species"].fillna(""))
        assert np.allclose(split.factors[:, 0], rows["colour"] == "white")
        assert np.allclose(split.factors[:, 1], rows["leaf"])
    said = "\n".join(data.notes)
    assert "constant in train: unit" in said and "left out, as no numbers: bed" in said


def test_an_array_a_table_without_names_and_one_with_an_index_are_read(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 3))
    np.save(tmp_path / "x.npy", x)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    pandas.DataFrame(x, columns=list("abc")).to_csv(tmp_path / "index.csv")
    for name, columns in (("x.npy", "012"), ("x.csv", "012"), ("index.csv", "abc")):
        data = read("table", tmp_path / name)
        assert data.fitted["columns"] == list(columns)
        assert sum(map(len, data.splits.values())) == 30
    labelled = read("table", tmp_path / "x.npy", "dataset.columns=[2,0]", "dataset.standardise=false")
    assert np.allclose(labelled.train.x, x[labelled.train.row.numpy()][:, [2, 0]])


def test_scaling_is_fitted_to_train_alone_and_reused(tmp_path):
    frame = flowers(200)
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = read("table", tmp_path / "a.csv", "dataset.log1p=true", "dataset.columns=[leaf]")
    logs = np.log1p(frame["leaf"].to_numpy()[data.train.row.numpy()])
    assert np.allclose(data.train.x[:, 0], (logs - logs.mean()) / logs.std(), atol=1e-5)
    assert torch.allclose(data.zero, torch.tensor([-logs.mean() / logs.std()], dtype=torch.float32))
    other = flowers(50, seed=1)[["petal", "leaf"]]  # without the columns that are not needed, in another order
    other[["leaf", "petal"]].to_parquet(tmp_path / "b.parquet")
    again = read("table", tmp_path / "b.parquet", fitted=json.loads(json.dumps(data.fitted)))
    values = np.log1p(other["leaf"].to_numpy()[again.train.row.numpy()])
    assert np.allclose(again.train.x[:, 0], (values - logs.mean()) / logs.std(), atol=1e-5)


def test_classes_of_other_data_keep_their_numbers(tmp_path):
    frame = pandas.DataFrame({"a": np.arange(40.0), "y": ["10", "2", "", "7"] * 10})
    frame.to_parquet(tmp_path / "a.parquet")
    data = read("table", tmp_path / "a.parquet", "dataset.label=y")
    assert data.classes == ("2", "7", "10") and -1 in data.train.y
    frame["y"] = ["1", "10", "7", "7"] * 10
    frame.to_parquet(tmp_path / "b.parquet")
    again = read("table", tmp_path / "b.parquet", "dataset.label=y", fitted=data.fitted)
    assert again.classes == ("2", "7", "10", "1")


def test_rows_keep_their_sides_and_equal_ones_or_one_id_are_not_divided(tmp_path):
    frame = flowers(120)
    doubled = pandas.concat([frame, frame.iloc[:60], flowers(40, seed=1)])
    doubled.to_csv(tmp_path / "more.csv", index=False)
    frame.to_csv(tmp_path / "few.csv", index=False)
    few, more = read("table", tmp_path / "few.csv"), read("table", tmp_path / "more.csv")
    side = {row: name for name, split in more.splits.items() for row in split.row.tolist()}
    for name, split in few.splits.items():
        assert all(side[row] == name for row in split.row.tolist())
    assert all(side[row] == side[120 + row] for row in range(60))
    by_bed = read("table", tmp_path / "few.csv", "dataset.id=bed", "dataset.test=0.3")
    beds = [set(names) for names in by_bed.listing().values()]
    assert sum(map(len, beds)) == len(set.union(*beds)) == 30


def test_a_test_file_is_test_and_rows_without_a_number_are_left_out_if_asked(tmp_path):
    frame = flowers(40)
    frame.loc[5, "petal"] = np.nan
    frame.to_csv(tmp_path / "a.csv", index=False)
    flowers(9, seed=1).to_csv(tmp_path / "t.csv", index=False)
    data = read("table", tmp_path / "a.csv", f"dataset.test_path={tmp_path}/t.csv", "dataset.missing=drop")
    assert len(data.test) == 9 and len(data.train) + len(data.validation) == 39
    assert any("1 of 40 rows are left out" in note for note in data.notes)


LINES = {  # override: what the line says
    "dataset.label=speces": "no column 'speces'; did you mean 'species'?",
    "dataset.columns=[petl]": "no column 'petl'; did you mean 'petal'?",
    "dataset.factors=[colr]": "did you mean 'colour'?",
    "dataset.ignored=[leav]": "did you mean 'leaf'?",
    "dataset.id=bad": "did you mean 'bed'?",
    "dataset.columns=[colour]": "x takes numbers; dataset.label=colour",
    "dataset.label=petal": "a label is a class; dataset.factors=[petal]",
    "dataset.columns=[unit]": "at least 3 different rows are needed, one for train, validation and test, got 1",
    "dataset.id=unit": "at least 3 different rows",
    "dataset.ignored=[petal,leaf,unit]": "no numeric column is left",
    "dataset.test=0": "test must lie between 1 and",
    "dataset.missing=skip": "dataset.missing must be one of raise, drop",
}


@pytest.mark.parametrize("override", LINES)
def test_a_column_that_does_not_serve_is_a_line(tmp_path, override):
    flowers().to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UserError) as error:
        read("table", tmp_path / "a.csv", override)
    assert LINES[override] in str(error.value) and "\n" not in str(error.value)


FILES = {  # content: what the line says
    "a.csv": ("a,b\n1,2\n,3\n4,5\n", "missing values in a (1); give dataset.missing=drop"),
    "b.csv": ("a,b\n1,2\n-inf,3\n4,5\n", "has 1 values that are NaN or infinite"),
    "c.csv": ("", "cannot be read as .csv"),
    "d.csv": ("a,b\n1,2\n1,2,3,4\n", "cannot be read as .csv"),
    "e.parquet": ("a,b\n", "cannot be read as .parquet"),
    "f.npy": ("a,b\n", "cannot be read as .npy"),
    "g.xlsx": ("a,b\n", "not a kind of table; allowed: .csv"),
    "h.csv": ("a,b\n", "no samples"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_that_cannot_be_read_is_a_line(tmp_path, name):
    content, said = FILES[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as error:
        read("table", tmp_path / name)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_an_extra_that_is_missing_is_a_line_that_installs_it(tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    np.save(tmp_path / "x.npy", np.zeros((5, 2)))
    with pytest.raises(UserError, match=r"pandas of the extra `table`: pip install 'ssvae\[table\]'"):
        read("table", tmp_path / "x.npy")


def test_a_table_trains_resumes_and_embeds_other_data(tmp_path, capfd):
    flowers(80).to_csv(tmp_path / "a.csv", index=False)
    own = ["dataset=table", f"dataset.path={tmp_path}/a.csv", "dataset.label=species", "encoder.backbone.hidden=[8]"]
    run = tmp_path / "run"
    assert ssvae("train", *own, *SHORT, f"hydra.run.dir={run}") == 0
    assert json.loads((run / "summary.json").read_text())["probe/linear/test"] is not None
    assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 0
    flowers(30)[["petal"]].to_csv(tmp_path / "c.csv")
    line = refused(capfd, "embed", str(run), "dataset=table", f"dataset.path={tmp_path}/c.csv")
    assert "no column 'leaf'" in line
    flowers(30, seed=1)[["leaf", "petal"]].to_parquet(tmp_path / "b.parquet")
    out = f"hydra.run.dir={tmp_path}/out"
    assert ssvae("embed", str(run), "dataset=table", f"dataset.path={tmp_path}/b.parquet", out) == 0
    arrays = np.load(tmp_path / "out" / "embeddings.npz")
    assert sum(len(arrays[f"row_{part}"]) for part in ("train", "validation", "test")) == 30


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
    data = read("anndata", tmp_path / "a.h5ad", "dataset.label=type", "dataset.factors=[depth,donor]")
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
    plain = read("anndata", tmp_path / "a.h5ad", "total=null", "log1p=false", "standardise=false", "layer=double")
    assert np.allclose(plain.test.x, 2 * x[plain.test.row.numpy()][:, :29]) and not plain.zero.any()
    other, _ = cells(tmp_path / "b.h5ad", not sparse, seed=1)
    again = read("anndata", tmp_path / "b.h5ad", "dataset.label=type", fitted=data.fitted)
    other = np.log1p(other / np.maximum(other.sum(1, keepdims=True), 1e-9) * 1e4)[:, :29]
    assert np.allclose(again.test.x, (other[again.test.row] - train.mean(0)) / train.std(0), atol=1e-4)


def test_genes_are_chosen_by_train_or_as_they_are_marked(tmp_path):
    x, _ = cells(tmp_path / "a.h5ad")
    marked = read("anndata", tmp_path / "a.h5ad", "genes=marked")
    assert marked.fitted["columns"] == [f"gene{i}" for i in range(0, 30, 3)]
    data = read("anndata", tmp_path / "a.h5ad", "genes=5")
    train = (x / np.maximum(x.sum(1, keepdims=True), 1e-9))[data.train.row.numpy()][:, :29]
    best = np.argsort(-train.var(0) / train.mean(0))[:5]
    assert data.fitted["columns"] == [f"gene{i}" for i in sorted(best)]
    again = read("anndata", tmp_path / "a.h5ad", fitted=data.fitted)
    assert torch.equal(again.train.x, data.train.x)


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
        read("anndata", tmp_path / "a.h5ad", override)
    assert WRONG_CELLS[override] in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_h5ad_is_a_line(tmp_path):
    pytest.importorskip("anndata", reason="the extra `anndata` is not installed")
    (tmp_path / "a.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    with pytest.raises(UserError, match="cannot be read as .h5ad"):
        read("anndata", tmp_path / "a.h5ad")


def test_dropped_genes_read_as_a_measurement_of_zero(tmp_path):
    cells(tmp_path / "a.h5ad", count=300)
    data = read("anndata", tmp_path / "a.h5ad")
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
    run = tmp_path / "run"
    assert ssvae("train", *own, *SHORT, "trainer.epochs=3", "encoder.backbone.hidden=[64]", f"hydra.run.dir={run}") == 0
    assert json.loads((run / "summary.json").read_text())["probe/linear/test"] > 0.5  # ten types
    out = f"hydra.run.dir={tmp_path}/out"
    assert ssvae("embed", str(run), *cells, out) == 0
    assert len(np.load(tmp_path / "out" / "embeddings.npz")["name_test"]) > 40


def pictures(count: int = 30, seed: int = 0):
    """A data set of images of one colour, their classes, and vectors."""
    datasets = pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    rng = np.random.default_rng(seed)
    features = {"image": datasets.Image(), "animal": datasets.ClassLabel(names=["dog", "cat"])}
    features |= {"vector": datasets.Sequence(datasets.Value("float32")), "age": datasets.Value("int32")}
    rows = {"animal": rng.integers(0, 2, count), "vector": rng.normal(size=(count, 3)), "age": np.arange(count)}
    grey = [np.full((8, 8), 5 * age, np.uint8) for age in range(count)]
    rows["image"] = [Image.fromarray(pixels) for pixels in grey]
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def stored(kind: str, path):
    """The data set saved in one of the ways; the path to give."""
    data = pictures()
    if kind == "parquet file":
        data.to_parquet(path / "a.parquet")
        return path / "a.parquet"
    if kind == "parquet folder":
        (path / "data").mkdir()
        data.select(range(18)).to_parquet(path / "data" / "train-00000-of-00002.parquet")
        data.select(range(18, 24)).to_parquet(path / "data" / "train-00001-of-00002.parquet")
        data.select(range(24, 30)).to_parquet(path / "data" / "test-00000-of-00001.parquet")
        return path
    if kind == "dict":
        import datasets

        parts = {"test": range(24, 30), "validation": range(20, 24), "train": range(20)}
        data = datasets.DatasetDict({name: data.select(rows) for name, rows in parts.items()})
    data.save_to_disk(path / "saved")
    return next((path / "saved").glob("*.arrow")) if kind == "arrow file" else path / "saved"


STARTS = {"dict": {"validation": 20, "test": 24}, "parquet folder": {"test": 24}}  # of parts, in `pictures`


@pytest.mark.parametrize("kind", ("folder", "dict", "parquet file", "parquet folder", "arrow file"))
def test_a_data_set_of_hugging_face_is_images_classes_and_its_splits(tmp_path, kind):
    original, path = pictures(), stored(kind, tmp_path)
    data = read("huggingface", path, "channels=1", "factors=[age]", "workers=0")
    assert data.classes == ("dog", "cat") and data.shape == (1, 8, 8)
    assert kind not in STARTS or len(data.test) == 6
    for name, split in data.splits.items():
        ages = (split.x[:, 0, 0, 0] // 5).long()
        assert torch.equal(ages.float(), split.factors[:, 0])
        assert split.y.tolist() == np.array(original["animal"])[ages.numpy()].tolist()
        assert torch.equal(split.row, ages - STARTS.get(kind, {}).get(name, 0))
    assert sum(map(len, data.splits.values())) == 30
    vectors = read("huggingface", path, "image=null", "columns=[vector]", "standardise=false")
    assert vectors.fitted["columns"] == ["vector.0", "vector.1", "vector.2"]
    assert sum(map(len, vectors.splits.values())) == 30 and vectors.classes == ("dog", "cat")


WRONG_SETS = {
    "image=imge": "no column 'imge'; did you mean 'image'?",
    "label=animl": "did you mean 'animal'?",
    "columns=[agee]": "did you mean 'age'?",
    "factors=[agee]": "did you mean 'age'?",
    "image=age": "this column holds no images",
    "size=0": "size must lie between 1 and",
}


@pytest.mark.parametrize("override", WRONG_SETS)
def test_what_a_data_set_does_not_have_is_a_line(tmp_path, override):
    path = stored("folder", tmp_path)
    with pytest.raises(UserError) as error:
        read("huggingface", path, override)
    assert WRONG_SETS[override] in str(error.value) and "\n" not in str(error.value)


def test_a_folder_without_a_data_set_and_a_damaged_one_are_lines(tmp_path):
    pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    with pytest.raises(UserError, match="no data set; give a folder of save_to_disk"):
        read("huggingface", tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="cannot be read as a data set"):
        read("huggingface", tmp_path)


def test_vectors_of_hugging_face_bring_their_encoder_and_images_theirs(tmp_path):
    data = pictures()
    data.to_parquet(tmp_path / "images.parquet")
    data.remove_columns("image").to_parquet(tmp_path / "vectors.parquet")
    for name, expected in (("images", {}), ("vectors", {"encoder": "mlp", "pairs": "noise"})):
        given = ["dataset=huggingface", f"dataset.path={tmp_path}/{name}.parquet"]
        more = suiting_overrides("train", given)[2:]
        assert dict(override.split("=") for override in more) == expected


def test_a_data_set_of_hugging_face_trains_resumes_and_embeds(tmp_path):
    path, run = stored("folder", tmp_path), tmp_path / "run"
    own = ["dataset=huggingface", f"dataset.path={path}", "encoder.backbone.width=8", "dataset.workers=0"]
    short = ["trainer.epochs=1", "trainer.device=cpu", PENALTY]
    assert ssvae("train", *own, *short, f"hydra.run.dir={run}") == 0
    assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 0
    pictures(20, seed=1).to_parquet(tmp_path / "other.parquet")
    out = f"hydra.run.dir={tmp_path}/out"
    assert ssvae("embed", str(run), "dataset=huggingface", f"dataset.path={tmp_path}/other.parquet", out) == 0
    arrays = np.load(tmp_path / "out" / "embeddings.npz")
    assert sum(len(arrays[f"row_{part}"]) for part in ("train", "validation", "test")) == 20
