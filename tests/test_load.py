"""`ssvae.load`: raw samples in, what the run computes out; what does not fit is refused in a line."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import ssvae_cli as ssvae
from helpers import make_folder
from ssvae_cli.api.compose import composed
from ssvae_cli.load_run import load_run
from ssvae_cli.train import train

NARROW = ["encoder.backbone.width=4", "encoder.projector=[]", "encoder.latent_dim=3"]
SMALL_MLP = ["encoder.backbone.hidden=[8]", "encoder.projector=[]", "encoder.latent_dim=3"]
QUICK = ["trainer.epochs=1", "trainer.device=cpu", "evaluation=none"]


def images(count: int = 20, channels: int = 3, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, channels, side, side), np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on RGB images."""
    folder = tmp_path_factory.mktemp("load") / "run"
    ssvae.SSVAE(epochs=1, folder=folder, device="cpu", overrides=NARROW).fit(images())
    return folder


@pytest.fixture(scope="module")
def encoder(run):
    return ssvae.load(run, device="cpu")


def trained(run, *overrides: str):
    """(The encoder, the run) of a configuration, trained for a moment."""
    config, hydra = composed([*overrides, *QUICK])
    run.mkdir()
    train(config, run, dict(hydra.runtime.choices))
    return ssvae.load(run, device="cpu"), load_run(str(run), device="cpu", trust=False)


def test_it_gives_what_the_run_computes_on_its_clean_data(run, encoder):
    loaded = load_run(str(run), device="cpu", trust=False)
    split = loaded.data.train
    clean = loaded.pairs.clean(split)
    with torch.no_grad():
        features, z = loaded.objective.features(clean), loaded.objective.posterior(clean).mean
    assert torch.equal(encoder.features(split.x), features) and torch.equal(encoder.z(split.x), z)
    assert torch.allclose(encoder.z(split.x, batch_size=3), z, atol=1e-6)


def test_it_says_what_it_takes_and_gives(encoder):
    assert (encoder.shape, encoder.latent_dim, encoder.features_dim) == ((3, 8, 8), 3, 64)
    assert encoder.features(images()).shape == (20, 64) and encoder.z(images()).shape == (20, 3)
    for word in ("uint8 [N, 3, 8, 8]", "PIL images", "infonce", "latent_dim=3", "features_dim=64", "cpu"):
        assert word in repr(encoder)


def test_arrays_tensors_and_pil_images_agree_and_come_back_as_they_came(encoder):
    x = images(4)
    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in x]
    of_array, of_tensor, of_pictures = encoder.z(x), encoder.z(torch.from_numpy(x)), encoder.z(pictures)
    assert isinstance(of_array, np.ndarray) and isinstance(of_pictures, np.ndarray)
    assert isinstance(of_tensor, torch.Tensor) and not of_tensor.requires_grad
    np.testing.assert_array_equal(of_array, of_pictures)
    np.testing.assert_array_equal(of_array, of_tensor.numpy())
    np.testing.assert_array_equal(encoder.z(pictures[0]), encoder.z(x[:1]))
    np.testing.assert_array_equal(encoder.z(list(x)), of_array)


def test_a_read_only_array_is_read_without_a_warning(encoder, tmp_path, recwarn):
    np.save(tmp_path / "x.npy", images(4))
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        z = encoder.z(np.load(tmp_path / "x.npy", mmap_mode="r"))
    finally:
        torch.set_warn_always(always)
    np.testing.assert_array_equal(z, encoder.z(images(4)))
    assert not [str(warning.message) for warning in recwarn if "not writable" in str(warning.message)]


class Endless:
    """Something that is indexed as a data set is, which numpy would read item by item, and items of items."""

    def __len__(self):
        return 700

    def __getitem__(self, place):
        return self


class Cells(Endless):
    """As much of an AnnData as tells it."""

    obs_names = ()
    to_df = None


NA = type("NAType", (), {})()  # as pandas has it

WRONG = {
    "a data set": (Endless(), "x is a Endless; give an array, a tensor, a DataFrame or a list of numbers", ""),
    "cells": (Cells(), "x is an AnnData; give x.to_df()", "names of the genes"),
    "floats in [0, 1]": (images() / 255, "x is float64; this encoder takes uint8 [N, 3, 8, 8]", "(x * 255).round()"),
    "integers": (images().astype(np.int64), "x is int64", "takes uint8"),
    "true and false": (images() > 9, "x is bool", "takes uint8"),
    "a tensor of floats": (torch.rand(2, 3, 8, 8), "x is float32", "takes uint8"),
    "one image": (images()[0], "x is [3, 8, 8]", "one sample is given as x[None]"),
    "channels last": (images().transpose(0, 2, 3, 1), "x is [20, 8, 8, 3]", "transpose (0, 3, 1, 2)"),
    "another size": (images(side=9), "x is [20, 3, 9, 9]", "takes uint8 [N, 3, 8, 8]"),
    "grey": (images()[:, 0], "x is [20, 8, 8]", "takes uint8 [N, 3, 8, 8]"),
    "nothing": (images()[:0], "x is empty, [0, 3, 8, 8]", ""),
    "no list": ([], "x is empty, [0]", "takes uint8"),
    "None": (None, "x is a NoneType", ""),
    "a path": ("photo.png", "x is a str", "numbers are taken"),
    "a picture of another size": (Image.new("RGB", (9, 8)), "x[0] is 9x8 pixels; this encoder takes 8x8", "resize"),
    "pictures and other things": ([Image.new("RGB", (8, 8)), 3], "x[1] is a int", "PIL"),
    "ragged": ([images(1)[0], images(1)[0, :2]], "x is no array of numbers (its parts differ in shape", ""),
    "masked": (np.ma.masked_less(images(), 9), "x has masked values", ""),
    "meta": (
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8, device="meta"),
        "x is a tensor on the meta device",
        "no numbers",
    ),
    "sparse": (torch.zeros(2, 3, 8, 8, dtype=torch.uint8).to_sparse(), "x is a sparse tensor", "to_dense"),
    "missing values of pandas": (np.array([[NA]], object), "x is no array of numbers (it has missing values, NA;", ""),
    "words": (np.array(["a"]), "x holds words, <U1; numbers are taken", ""),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_an_encoder_of_images_cannot_take_is_refused_in_a_line(wrong, encoder):
    x, *said = WRONG[wrong]
    for read in (encoder.features, encoder.z):
        with pytest.raises(ssvae.UserError) as refused:
            read(x)
        assert isinstance(refused.value, ValueError) and "\n" not in str(refused.value)
        assert all(words in str(refused.value) for words in said), refused.value


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """An encoder of vectors that computes in float64."""
    folder = tmp_path_factory.mktemp("load") / "run"
    x = np.random.default_rng(0).normal(size=(20, 5))
    double = [*SMALL_MLP, "trainer.precision=float64"]
    ssvae.SSVAE(epochs=1, folder=folder, device="cpu", overrides=double).fit(x)
    return ssvae.load(folder, device="cpu")


def test_vectors_are_numbers_of_any_type_in_the_runs_precision(vectors):
    x = np.arange(10).reshape(2, 5)
    z = vectors.z(x)
    assert z.dtype == np.float64 and torch.get_default_dtype() == torch.float32
    for same in (
        x.astype(np.float32),
        x.astype(">f4"),
        x.tolist(),
        x.astype(np.uint8),
        torch.from_numpy(x),
        pd.DataFrame(x),
    ):
        np.testing.assert_array_equal(np.asarray(vectors.z(same)), z)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.full((2, 5), np.nan), "x has 10 values that are NaN or infinite"),
        (torch.tensor([[1.0, 2, 3, 4, float("inf")]]), "x has 1 value that is NaN or infinite"),
        (np.zeros((2, 4)), "x is [2, 4]; this encoder takes numbers [N, 5]"),
        (np.zeros(5), "one sample is given as x[None]"),
        (np.zeros((2, 5), complex), "x is complex128"),
        (Image.new("L", (8, 8)), "x is a PIL image; this encoder takes numbers [N, 5]"),
    ],
)
def test_what_an_encoder_of_vectors_cannot_take_is_refused_in_a_line(x, said, vectors):
    with pytest.raises(ssvae.UserError) as refused:
        vectors.z(x)
    assert said in str(refused.value)


def test_loading_needs_no_data_and_leaves_torch_as_it_was(run, encoder, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "data.npz").unlink()
    before = torch.get_rng_state()
    again = ssvae.load(str(copy), device="cpu")
    assert torch.equal(torch.get_rng_state(), before) and torch.get_default_dtype() == torch.float32
    np.testing.assert_array_equal(again.z(images(3)), encoder.z(images(3)))
    with pytest.raises(ssvae.UserError, match="no such folder"):
        ssvae.load(tmp_path / "none")


def test_pictures_are_resized_as_the_runs_files_were(tmp_path):
    photos = make_folder(tmp_path / "photos", size=(12, 10))
    data = ["dataset=folder", f"dataset.root={photos}", "dataset.size=8"]
    encoder, loaded = trained(tmp_path / "run", *data, *NARROW)
    names, x = loaded.data.listing()["test"], loaded.data.test.x
    opened = [Image.open(photos / name) for name in names]
    np.testing.assert_array_equal(encoder.z(opened), encoder.z(x.numpy()))
    assert opened[0].size == (12, 10)
    grey = Image.new("L", (30, 20), 90)
    np.testing.assert_array_equal(encoder.z(grey), encoder.z(np.full((1, 3, 8, 8), 90, np.uint8)))


def test_a_tables_measurements_are_scaled_as_in_training(tmp_path):
    table = pd.DataFrame(np.random.default_rng(0).normal(3, 2, (40, 4)), columns=list("abcd"))
    table.to_csv(tmp_path / "table.csv", index=False)
    data = ["dataset=table", f"dataset.path={tmp_path / 'table.csv'}"]
    encoder, loaded = trained(tmp_path / "run", *data, *SMALL_MLP)
    test = loaded.data.test
    rows = table.iloc[test.row.tolist()]
    with torch.no_grad():
        expected = loaded.objective.posterior(loaded.pairs.clean(test)).mean.numpy()
    np.testing.assert_allclose(encoder.z(rows), expected, atol=1e-6)
    np.testing.assert_array_equal(encoder.z(rows[["d", "b", "a", "c"]]), encoder.z(rows))
    np.testing.assert_array_equal(encoder.z(rows.to_numpy()), encoder.z(rows))
    more = rows.assign(id="s1", kind=None, later=np.nan)  # what else the file holds is not read
    np.testing.assert_array_equal(encoder.z(more[["id", "b", "later", "a", "kind", "d", "c"]]), encoder.z(rows))
    for frame in (rows, more):
        with pytest.raises(ssvae.UserError, match="no column 'b'"):
            encoder.z(frame.drop(columns="b"))
