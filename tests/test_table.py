"""Tables: columns by name, and what is fitted to train.

1. Columns are read by their names, the label and factors apart; what cannot be read is one line.
2. Rows keep their sides when others are added, and equal rows or rows of one id are never divided.
3. What is fitted, is fitted to train alone and reused on other data: columns, scaling, classes.
"""

import itertools
import json

import numpy as np
import pytest
import torch

from helpers import FILE_RUN, read_data, refused, ssvae
from ssvae_cli.datasets.measurements import by_number
from ssvae_cli.errors import UserError

pandas = pytest.importorskip("pandas", reason="the extra `table` is not installed")
pytest.importorskip("pyarrow", reason="the extra `table` is not installed")


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


def trailing(text: str) -> str:
    """A comma at the end of each line but that of the names."""
    names, *lines = text.splitlines()
    return "\n".join([names, *(f"{line}," for line in lines)])


SAVED = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "semicolons.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "decimal.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";", decimal=","),
    "trailing.csv": lambda frame, path: path.write_text(trailing(frame.to_csv(index=False))),
    "parquet": lambda frame, path: frame.convert_dtypes().to_parquet(path),
}


@pytest.mark.parametrize("kind", SAVED)
def test_a_table_of_any_kind_is_numbers_labels_and_factors(tmp_path, kind):
    frame, path = flowers(), tmp_path / f"flowers.{kind}"
    SAVED[kind](frame, path)
    data = read_data(
        "table", path, "dataset.label=species", "dataset.factors=[colour,leaf]", "dataset.standardise=false"
    )
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
    assert "1 of 60 rows has no label in species" in said


def test_an_array_a_table_without_names_and_one_with_an_index_are_read(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 3))
    np.save(tmp_path / "x.npy", x.astype(">f8"))
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    pandas.DataFrame(x, columns=list("abc")).to_csv(tmp_path / "index.csv")
    for name, columns in (("x.npy", "012"), ("x.csv", "012"), ("index.csv", "abc")):
        data = read_data("table", tmp_path / name)
        assert data.fitted["columns"] == list(columns)
        assert sum(map(len, data.splits.values())) == 30
    labelled = read_data("table", tmp_path / "x.npy", "dataset.columns=[2,0]", "dataset.standardise=false")
    assert np.allclose(labelled.train.x, x[labelled.train.row.numpy()][:, [2, 0]])


def test_scaling_is_fitted_to_train_alone_and_reused(tmp_path):
    frame = flowers(200)
    frame.to_csv(tmp_path / "a.csv", index=False)
    data = read_data("table", tmp_path / "a.csv", "dataset.log1p=true", "dataset.columns=[leaf]")
    logs = np.log1p(frame["leaf"].to_numpy()[data.train.row.numpy()])
    assert np.allclose(data.train.x[:, 0], (logs - logs.mean()) / logs.std(), atol=1e-5)
    assert torch.allclose(data.zero, torch.tensor([-logs.mean() / logs.std()], dtype=torch.float32))
    other = flowers(50, seed=1)[["petal", "leaf"]]  # without the columns that are not needed, in another order
    other[["leaf", "petal"]].to_parquet(tmp_path / "b.parquet")
    again = read_data("table", tmp_path / "b.parquet", fitted=json.loads(json.dumps(data.fitted)))
    values = np.log1p(other["leaf"].to_numpy()[again.train.row.numpy()])
    assert np.allclose(again.train.x[:, 0], (values - logs.mean()) / logs.std(), atol=1e-5)


def test_z_scores_have_no_unit(tmp_path):
    x = np.random.default_rng(0).normal(1, 2, (40, 1)) * [1, 1e-27, 1e19]  # as masses of atoms in kg
    np.save(tmp_path / "x.npy", x)
    first, *others = read_data("table", tmp_path / "x.npy").train.x.T
    assert first.std().item() == pytest.approx(1, abs=0.1) and all(torch.allclose(first, one) for one in others)


def test_classes_of_other_data_keep_their_numbers(tmp_path):
    frame = pandas.DataFrame({"a": np.arange(40.0), "y": ["10", "2", "", "7"] * 10})
    frame.to_parquet(tmp_path / "a.parquet")
    data = read_data("table", tmp_path / "a.parquet", "dataset.label=y")
    assert data.classes == ("2", "7", "10") and -1 in data.train.y
    frame["y"] = ["1", "10", "7", "7"] * 10
    frame.to_parquet(tmp_path / "b.parquet")
    again = read_data("table", tmp_path / "b.parquet", "dataset.label=y", fitted=data.fitted)
    assert again.classes == ("2", "7", "10", "1")


def test_rows_keep_their_sides_and_equal_ones_or_one_id_are_not_divided(tmp_path):
    frame = flowers(120)
    doubled = pandas.concat([frame, frame.iloc[:60], flowers(40, seed=1)])
    doubled.to_csv(tmp_path / "more.csv", index=False)
    frame.to_csv(tmp_path / "few.csv", index=False)
    few, more = read_data("table", tmp_path / "few.csv"), read_data("table", tmp_path / "more.csv")
    side = {row: name for name, split in more.splits.items() for row in split.row.tolist()}
    for name, split in few.splits.items():
        assert all(side[row] == name for row in split.row.tolist())
    assert all(side[row] == side[120 + row] for row in range(60))
    by_bed = read_data("table", tmp_path / "few.csv", "dataset.id=bed", "dataset.test=0.3")
    beds = [set(names) for names in by_bed.listing().values()]
    assert sum(map(len, beds)) == len(set.union(*beds)) == 30


def test_an_id_that_is_missing_is_refused_and_whole_numbers_stay_the_same_names(tmp_path):
    frame = flowers(60).assign(bed=[i % 20 for i in range(60)])
    frame.to_csv(tmp_path / "whole.csv", index=False)
    frame.assign(bed=frame.bed.astype(float)).to_csv(tmp_path / "floats.csv", index=False)
    whole, floats = (read_data("table", tmp_path / f"{name}.csv", "dataset.id=bed") for name in ("whole", "floats"))
    assert whole.listing() == floats.listing()
    frame.assign(bed=[None, *frame.bed[1:]]).to_csv(tmp_path / "missing.csv", index=False)
    with pytest.raises(UserError, match="1 row has no value in dataset.id=bed"):
        read_data("table", tmp_path / "missing.csv", "dataset.id=bed")


def test_a_class_called_nan_stands_among_the_words_whatever_the_order_in_which_they_come():
    for words in itertools.permutations(["nan", "T", "10", "2"]):
        assert sorted(words, key=by_number) == ["2", "10", "T", "nan"]


def test_a_test_file_is_test_and_rows_without_a_number_are_left_out_if_asked(tmp_path):
    frame = flowers(40)
    frame.loc[5, "petal"] = np.nan
    frame.to_csv(tmp_path / "a.csv", index=False)
    flowers(9, seed=1).to_csv(tmp_path / "t.csv", index=False)
    data = read_data("table", tmp_path / "a.csv", f"dataset.test_path={tmp_path}/t.csv", "dataset.missing=drop")
    assert len(data.test) == 9 and len(data.train) + len(data.validation) == 39
    assert any("1 of 40 rows is left out" in note for note in data.notes)


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
        read_data("table", tmp_path / "a.csv", override)
    assert LINES[override] in str(error.value) and "\n" not in str(error.value)


FILES = {  # content: what the line says
    "a.csv": ("a,b\n1,2\n,3\n4,5\n", "missing values in a (1); give dataset.missing=drop"),
    "b.csv": ("a,b\n1,2\n-inf,3\n4,5\n", "values that are NaN or infinite in a (1); leave"),
    "c.csv": ("", "cannot be read as .csv"),
    "d.csv": ("a,b\n1,2\n1,2,3,4\n", "cannot be read as .csv"),
    "e.parquet": ("a,b\n", "cannot be read as .parquet"),
    "f.npy": ("a,b\n", "cannot be read as .npy"),
    "g.xlsx": ("a,b\n", "not a kind of table; allowed: .csv"),
    "h.csv": ("a,b\n", "no samples"),
    "j.csv": (b"a,b\n1,caf\xe9\n" * 4, "its text is not UTF-8; save it as UTF-8"),
    "i.csv": ("# made today\n" + "1,2,3\n" * 9, "names in the first line: 1; values: 3"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_that_cannot_be_read_is_a_line(tmp_path, name):
    content, said = FILES[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read_data("table", tmp_path / name)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_an_extra_that_is_missing_is_a_line_that_installs_it(tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    np.save(tmp_path / "x.npy", np.zeros((5, 2)))
    with pytest.raises(UserError, match=r"pandas of the extra `table`: pip install 'ssvae\[table\]'"):
        read_data("table", tmp_path / "x.npy")


def test_a_table_trains_resumes_and_embeds_other_data(tmp_path, capfd):
    flowers(80).to_csv(tmp_path / "a.csv", index=False)
    own = ["dataset=table", f"dataset.path={tmp_path}/a.csv", "dataset.label=species", "encoder.backbone.hidden=[8]"]
    run = tmp_path / "run"
    assert ssvae("train", *own, *FILE_RUN, f"hydra.run.dir={run}") == 0
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
