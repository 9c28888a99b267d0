"""Series in Python: `SSVAE` and the encoder of a run take those of one length, of unequal ones and with gaps, as the
commands do."""

import numpy as np
import pandas as pd
import pytest
import torch

import ssvae_cli as ssvae

WINDOWS = [
    "dataset=sequences",
    "pairs=window",
    "pairs.length=2",
    "trainer.batch_size=8",
    "encoder.backbone.hidden=[8]",
    "encoder.projector=[]",
]


def test_series_are_a_data_set_of_the_overrides():
    series = np.random.default_rng(0).normal(size=(20, 12, 2))
    model = ssvae.SSVAE(epochs=1, latent_dim=2, device="cpu", overrides=["dataset=sequences"]).fit(series)
    assert model.transform(series[:3]).shape == (3, 2) and model.encoder_.shape == (12, 2)
    with pytest.raises(ssvae.UserError, match="sequences of 5 steps are shorter than window=8"):
        model.transform(series[:, :5])


def test_given_views_of_pairs_whose_x_prime_is_not_like_x_are_refused():
    series = np.random.default_rng(0).normal(size=(20, 8, 2))
    context = ["dataset=sequences", "pairs.window=3", "trainer.batch_size=8"]
    model = ssvae.SSVAE(epochs=1, latent_dim=2, device="cpu", overrides=context).fit(series)
    with pytest.raises(
        ssvae.UserError, match=r"elbo takes X alone, as one x' is \[2\] in these pairs, and one x \[3, 2\]"
    ):
        model.elbo(series, series)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_series_of_unequal_length_are_a_list_or_have_nan_after_the_last_step(tmp_path):
    series = [np.random.default_rng(i).normal(size=(5 + i % 4, 2)) for i in range(20)]
    padded = np.full((20, 8, 2), np.nan)
    for row, one in zip(padded, series):
        row[: len(one)] = one
    model = ssvae.SSVAE(epochs=1, latent_dim=2, device="cpu", folder=tmp_path / "run", overrides=WINDOWS).fit(series)
    assert model.run_.data.train.length.unique().tolist() == [5, 6, 7, 8]
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "data.npz")["x"], padded)
    few = np.empty(3, object)  # none of which is the longest
    few[:] = series[:3]
    nested = torch.nested.nested_tensor([torch.from_numpy(one) for one in few])
    columns = pd.Series(few, index=[7, 8, 9]), nested
    for read in (model.transform, ssvae.load(tmp_path / "run").z):
        for same in (few, list(few), *columns):
            np.testing.assert_array_equal(read(same), read(padded[:3]))
        one, other = read([np.ones((5, 2)), np.ones((8, 2))])
        np.testing.assert_allclose(one, other, rtol=1e-5)  # no padding is read
    assert np.isfinite(model.elbo(series)) and model.elbo(series) == model.elbo(padded)
    with pytest.raises(ssvae.UserError, match="sequences of 1 step are shorter than"):
        model.elbo([*series, series[0][:1]])


def test_windows_are_read_of_series_longer_and_shorter_than_all_of_training_each_by_itself():
    series = [np.random.default_rng(i).normal(size=(5 + i % 4, 2)) for i in range(20)]
    model = ssvae.SSVAE(epochs=1, latent_dim=2, device="cpu", overrides=WINDOWS).fit(series)
    assert "x: numbers [N, T, 2];" in str(model.encoder_)
    others = [np.random.default_rng(i).normal(size=(steps, 2)) for i, steps in enumerate((3, 19, 8, 11, 3))]
    for read in (model.transform, model.encoder_.z, model.encoder_.features):
        alone = np.concatenate([read([one]) for one in others])
        np.testing.assert_allclose(read(others), alone, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(read(np.stack([others[0], others[4]])), alone[[0, 4]], rtol=1e-4, atol=1e-6)
        constant = read([np.ones((19, 2)), np.ones((5, 2))])
        np.testing.assert_allclose(constant[0], constant[1], rtol=1e-4, atol=1e-6)
    assert np.isfinite(model.elbo(others))
    with pytest.raises(ssvae.UserError, match=r"one sample of X is \[9, 3\], and fit was given \[8, 2\]"):
        model.transform([np.zeros((9, 3))])
    with pytest.raises(ssvae.UserError, match=r"fit was given \[8, 2\]; one sample is given as X\[None\]"):
        model.transform(others[1])
    with pytest.raises(ssvae.UserError, match=r"x is \[1, 9, 3\]; this encoder takes numbers \[N, T, 2\]"):
        model.encoder_.z([np.zeros((9, 3))])


@pytest.mark.parametrize(
    "series, said",
    [
        (
            [np.zeros((5, 2)), np.zeros((6, 3))],
            "X\\[1\\] is \\[6, 3\\], and X\\[0\\] is \\[5, 2\\]: each series is .*columns$",
        ),
        ([np.zeros((2, 5)), np.zeros((2, 6))], "steps come first: give each series transposed"),
        ([np.zeros((5, 2)), np.zeros((0, 2))], "X\\[1\\] is empty"),
        ([np.zeros(5), np.full(4, np.nan)], "X: row 1 has no step: all are NaN"),
        ([np.array([0.0, np.nan, 1.0])] * 5, "X: row 0, step 1, column 0 is NaN, .*dataset.missing=mask"),
        ([1.0, 2.0], "Reshape your data"),
    ],
)
def test_series_that_cannot_be_read_are_a_line(series, said):
    with pytest.raises(ssvae.UserError, match=said):
        ssvae.SSVAE(overrides=["dataset=sequences"]).fit(series)


def test_numbers_missing_inside_series_are_masked_as_in_a_file():
    series = np.random.default_rng(0).normal(size=(20, 8, 1))
    series[3, 2] = series[4, 6:] = np.nan
    model = ssvae.SSVAE(epochs=1, latent_dim=2, device="cpu", overrides=[*WINDOWS, "dataset.missing=mask"]).fit(series)
    assert model.encoder_.shape == (8, 2) and np.isfinite(model.transform(series[:5])).all()
