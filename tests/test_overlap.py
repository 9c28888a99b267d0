"""Samples on both sides of a split: counted at the start of every command that reads data."""

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import composed, make_folder
from ssvae_cli.datasets import overlap as overlap_module
from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.datasets.checked import make_data
from ssvae_cli.datasets.overlap import overlap

ALSO = ", with the same x in every value: what is read of these is not of new data"


def split(x, **known) -> Split:
    x = torch.as_tensor(x)
    return Split(x, y=torch.full((len(x),), -1), **known)


def test_equal_samples_of_an_array_are_counted(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    x[:, 0] = 0.0
    test = np.concatenate([x[[3, 3, 7]], x[[1]] + [0, 0, 0, 1e-3]])
    test[0, 0] = -0.0  # the same number
    np.savez(tmp_path / "a.npz", x_train=x[:20], x_validation=np.concatenate([x[20:], x[:1]]), x_test=test)
    options = [f"dataset.path={tmp_path}/a.npz", "dataset.validation=null", "dataset.test=null"]
    notes = make_data(composed("dataset=npz", *options).dataset).notes
    expected = (f"1 of 11 samples of validation is also in train{ALSO}",)
    assert notes == (*expected, f"3 of 4 samples of test are also in train or validation{ALSO}")


def test_equal_photos_of_other_names_are_counted(tmp_path):
    make_folder(tmp_path, classes=("cat", "dog"), count=3)
    Image.open(tmp_path / "train" / "cat" / "0.png").save(tmp_path / "test" / "dog" / "again.bmp")
    config = composed("dataset=folder", f"dataset.root={tmp_path}", "dataset.size=8").dataset
    assert f"1 of 7 samples of test is also in train or validation{ALSO}" in make_data(config, fitted={}).notes


def test_nothing_is_said_where_splits_share_no_sample():
    assert make_data(composed("dataset=digits").dataset).notes == ()
    assert overlap({"train": split([[1.0]]), "test": split([[2.0]])}) == []


def test_a_sequence_equals_one_of_its_own_length_alone():
    x = torch.zeros(2, 3, 1)
    train = split(x, length=torch.tensor([1, 2]))
    assert overlap({"train": train, "test": split(x, length=torch.tensor([3, 3]))}) == []
    (line,) = overlap({"train": train, "test": split(x, length=torch.tensor([3, 2]))})
    assert line.startswith("1 of 2 samples of test is also in train,")


@pytest.mark.parametrize("bound", ["MOST_BYTES", "MOST_SAMPLES"])
def test_large_data_are_not_looked_through(bound, monkeypatch):
    same = split([[1.0], [2.0]])
    data = Data(same, same, same)
    monkeypatch.setattr(overlap_module, bound, 24 if bound == "MOST_BYTES" else 6)
    assert len(overlap(data.splits)) == 2
    monkeypatch.setattr(overlap_module, bound, 23 if bound == "MOST_BYTES" else 5)
    assert overlap(data.splits) == []
