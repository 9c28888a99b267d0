"""A user's own data set: floats of any width are taken, and what is of another kind is a line."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from helpers import composed
from ssvae_cli.datasets import Data, Split
from ssvae_cli.datasets.base import Factor
from ssvae_cli.datasets.checked import make_data
from ssvae_cli.errors import PartError, UserError
from ssvae_cli.pairs.base import make_pairs

X, Y = torch.rand(12, 4), torch.arange(12) % 3
IMAGES = torch.rand(12, 1, 8, 8)
GIVEN: dict[str, Data] = {}


def own() -> Data:
    """What a test gives as a user's data set."""
    return GIVEN["data"]


def made(*splits: Split) -> Data:
    train, validation, test = splits if len(splits) == 3 else splits * 3
    GIVEN["data"] = Data(train, validation, test)
    return make_data(OmegaConf.create({"_target_": f"{__name__}.own"}))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_floats_of_any_width_become_those_of_the_run_and_labels_int64(dtype):
    data = made(Split(X.to(dtype), Y.int(), x_prime=X.double()))
    assert {split.x.dtype for split in data.splits.values()} == {data.train.x_prime.dtype} == {torch.float32}
    assert data.test.y.dtype == torch.int64


def test_bytes_stay_bytes():
    assert made(Split((255 * torch.rand(12, 1, 8, 8)).byte(), Y)).train.x.dtype == torch.uint8


@pytest.mark.parametrize(
    "splits, said",
    {
        "integers": ([Split(Y[:, None], Y)], "x of train must be a tensor of uint8 (images) or of floats, got int64"),
        "booleans": ([Split(X > 0.5, Y)], "got bool"),
        "complex": ([Split(X.to(torch.complex64), Y)], "got complex64"),
        "an array": ([Split(X.numpy(), Y)], "got ndarray"),
        "x' of integers": ([Split(X, Y, x_prime=Y[:, None])], "x_prime of train must be a tensor of uint8"),
        "sparse": (
            [Split(X.to_sparse(), Y)],
            "x of train must be a dense tensor, as x.to_dense() gives it, got a sparse",
        ),
        "sparse labels": ([Split(X, Y.to_sparse())], "y of train must be a dense tensor"),
        "without numbers": ([Split(X.to("meta"), Y)], "x of train must hold numbers, and is on torch's device meta"),
        "codes": ([Split(X, Y * 10**9)], "y of train must number the classes from 0 on, got 2000000000"),
        "no axis": ([Split(X[:, 0], Y)], "x of train must be [N, ...], with at least one sample, got [12]"),
        "an empty test": ([Split(X, Y), Split(X, Y), Split(X[:0], Y[:0])], "x of test must be [N, ...]"),
        "x' of fewer": ([Split(X, Y, x_prime=X[1:])], "x_prime of train has 11 samples, and x 12"),
        "labels as floats": ([Split(X, Y.float())], "y of train must be a tensor of integers, [12], -1 for"),
        "no labels": ([Split(X, None)], "got NoneType"),
        "labels of fewer": ([Split(X, Y[1:])], "got int64 [11]"),
        "labels as columns": ([Split(X, Y[:, None])], "got int64 [12, 1]"),
        "labels as an array": ([Split(X, Y.numpy())], "got ndarray"),
        "labels below -1": (
            [Split(X, Y - 2)],
            "y of train must be at least 0, or -1 for a sample without a label, got -2",
        ),
        "factors of fewer": ([Split(X, Y, factors=X[1:])], "factors of train must be a tensor of floats"),
        "lengths as floats": ([Split(X, Y, length=Y + 1.0)], "length of train must be a tensor of int64, [12], from 1"),
        "a length beyond the steps": ([Split(X, Y, length=Y + 3)], "from 1 to the 4 steps of x"),
        "NaN": ([Split(X.log(), Y), Split(X, Y), Split(0 * X / 0, Y)], "x of test has values that are NaN, infinite"),
        "beyond float32": ([Split(X.double() * 1e300, Y)], "x of train has values that are NaN, infinite or beyond"),
        "two shapes": ([Split(X, Y), Split(X[:, :2], Y), Split(X, Y)], "validation [2] float32, test [4]"),
    }.values(),
)
def test_data_of_another_kind_are_a_line(splits, said):
    with pytest.raises(PartError, match="^dataset: ") as error:
        made(*splits)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "factors, said",
    {
        "no names": ((), "a tensor of floats, a column for each of 0 names, got float32 [12, 2]"),
        "words": (("size", "hue"), "a tuple of Factor of ssvae_cli.datasets.base, got ('size', 'hue')"),
        "one name twice": ((Factor("size"), Factor("size")), "different names, got ['size'] more than once"),
        "a line feed": ((Factor("size"), Factor("hue\n")), r"names that can be printed, got ['hue\n']"),
        "no name": ((Factor("size", group=""), Factor("hue")), "names that can be printed, got ['']"),
        "a name of a group": ((Factor("style"), Factor("hue", group="style")), "got ['style'] more than once"),
    }.values(),
)
def test_factors_without_a_name_of_their_own_are_a_line(factors, said):
    split = Split(X, Y, factors=X[:, :2])
    GIVEN["data"] = Data(split, split, split, factors=factors)
    with pytest.raises(PartError) as error:
        make_data(OmegaConf.create({"_target_": f"{__name__}.own"}))
    assert said in str(error.value)


@pytest.mark.parametrize(
    "row, more, said",
    {
        "classes as one word": (None, {"classes": "abc"}, "classes must be a tuple of words, got 'abc'"),
        "classes as numbers": (None, {"classes": (1, 2, 3)}, "classes must be a tuple of words, got (1, 2, 3)"),
        "classes as an array": (None, {"classes": np.array(["a", "b", "c"])}, "classes must be a tuple of words"),
        "a note as one word": (None, {"notes": "hello"}, "notes must be a tuple of words, got 'hello'"),
        "names without rows": (None, {"names": ["a"] * 12}, "the data have names, and train has no row"),
        "too few names": (torch.arange(12), {"names": ["a"] * 9}, "row of train must lie in 0 to 8, as there are 9"),
        "rows of fewer": (torch.arange(11), {}, "row of train must be a tensor of int64, [12], or None"),
        "rows as a list": (list(range(12)), {}, "row of train must be a tensor of int64, [12], or None"),
    }.values(),
)
def test_names_that_do_not_fit_the_samples_are_a_line(row, more, said):
    split = Split(X, Y, row=row)
    GIVEN["data"] = Data(split, split, split, **more)
    with pytest.raises(PartError) as error:
        make_data(OmegaConf.create({"_target_": f"{__name__}.own"}))
    assert said in str(error.value)


@pytest.mark.parametrize("given", [Split(IMAGES, Y), Split((255 * IMAGES).byte(), Y, x_prime=IMAGES)])
def test_augmentation_refuses_floats_in_the_words_of_the_data(given):
    with pytest.raises(UserError, match="pairs of augmented views need images in uint8, 0 to 255, and these data are"):
        make_pairs(composed("pairs=affine").pairs, Data(given, given, given))


def test_a_label_beyond_the_names_of_the_classes_is_a_line():
    split = Split(X, Y)
    GIVEN["data"] = Data(split, split, split, classes=("one", "two"))
    with pytest.raises(PartError, match="y of train must be below 2, the number of classes that have a name, got 2"):
        make_data(OmegaConf.create({"_target_": f"{__name__}.own"}))
