"""`ssvae.SSVAE`: scikit-learn's habits over the program's own configuration and training loop."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

import ssvae_cli as ssvae
from helpers import SHORT_FITS
from helpers import ssvae as command
from ssvae_cli import train as loop
from ssvae_cli.api import model as api
from ssvae_cli.report.runs import find_runs

TINY = ["encoder.backbone.hidden=[8]", "encoder.projector=[]"]
X = np.random.default_rng(0).normal(size=(60, 4))
X2 = X + 0.3 * np.random.default_rng(1).normal(size=(60, 4))


def tiny(**settings) -> ssvae.SSVAE:
    """An estimator of vectors that trains in a moment."""
    given = settings.pop("overrides", [])
    overrides = given if isinstance(given, str) else [*TINY, *given]
    return ssvae.SSVAE(**{"epochs": 1, "latent_dim": 3, "device": "cpu"} | settings, overrides=overrides)


@pytest.fixture(scope="module")
def paired():
    return tiny(epochs=2).fit(X, X2)


# The checks of what scikit-learn's tools rely on. Left out are those of what does not apply (targets, weights, classes,
# outliers, sparse data, array API), and those that repeat a fit on data of another layout or memory, which as_array
# makes alike.
CHECKS = [
    "check_complex_data",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_sparse_array",
    "check_estimators_empty_data_messages",
    "check_estimators_nan_inf",
    "check_estimators_unfitted",
    "check_fit1d",
    "check_fit2d_1sample",
    "check_get_params_invariance",
    "check_methods_subset_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_transformer_general",
    "check_transformer_get_feature_names_out",
]


@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learns_own_checks_pass(name):
    getattr(estimator_checks, name)("SSVAE", tiny(overrides=["trainer.precision=float64"]))


def test_elbo_of_pairs_is_the_priors_formula_over_all_of_them(paired):
    x, x_prime = (torch.from_numpy(side[:20]).float() for side in (X, X2))
    objective, n = paired.run_.objective, 20
    with torch.no_grad():
        z, z_prime = objective.encoder(x).mean, objective.encoder_prime(x_prime).mean
        table = objective.prior.critic(z, z_prime)
        partitions = [(t.logsumexp(1) - np.log(n)).mean() for t in (table, table.T)]
        expected = table.diagonal().mean() - sum(partitions) / 2  # Eq. 30, the mean of both directions
    assert paired.elbo(X[:20], X2[:20]) == pytest.approx(expected.item(), abs=1e-5)
    assert paired.elbo(X[:20], X2[:20]) > paired.elbo(X[:20], X2[19::-1])


def test_elbo_after_a_fit_on_x_alone_reads_views_of_x_or_the_views_that_it_is_given():
    model = tiny(epochs=5).fit(X)
    assert model.elbo(X[:30]) == model.elbo(X[:30]) <= np.log(30)
    assert model.elbo(X[:30], X[:30]) > model.elbo(X[:30]) > model.elbo(X[:30], X[29::-1])


def test_a_prior_whose_elbo_contains_an_entropy_has_one_too():
    short = [override for override in SHORT_FITS if "eq23" not in override]
    value = tiny(prior="unstructured_normal", overrides=short).fit(X).elbo(X[:30])
    assert isinstance(value, float) and np.isfinite(value)


def test_the_settings_are_those_of_the_command_line_and_reach_the_run():
    more = ["optimizer.lr=0.003", "prior/critic=bilinear", "trainer.batch_size=20"]
    config = tiny(epochs=2, seed=5, pairs="noise", overrides=more).fit(X).run_.config
    assert (config.encoder.latent_dim, config.trainer.epochs, config.seed) == (3, 2, 5)
    assert (config.optimizer.lr, config.prior.critic._target_.rpartition(".")[2]) == (0.003, "Bilinear")
    assert config.pairs._target_ == "ssvae_cli.pairs.noise.Noise" and config.dataset._target_.endswith(".npz")


def test_a_seed_gives_the_same_fit_twice_in_threads_at_the_same_time_too_and_another_seed_another():
    model = tiny(seed=3)
    z = model.fit(X).transform(X)
    with ThreadPoolExecutor(2) as threads:
        models = model, clone(model).set_params(seed=4)
        again, other = threads.map(lambda one: one.fit(X).transform(X), models)
    np.testing.assert_array_equal(again, z)
    assert not np.array_equal(other, z)


def test_it_takes_its_place_in_a_pipeline_and_does_not_see_the_labels():
    labels = (X[:, 0] > 0).astype(int)
    pipeline = make_pipeline(PCA(4), tiny(), LogisticRegression()).fit(X, labels)
    assert pipeline.score(X, labels) > 0.5
    other = make_pipeline(PCA(4), tiny(), LogisticRegression()).fit(X, ["low" if label else "high" for label in labels])
    np.testing.assert_array_equal(pipeline[1].transform(X), other[1].transform(X))
    assert not pipeline[1].given_pairs_
    assert list(pipeline[1].get_feature_names_out()) == ["ssvae0", "ssvae1", "ssvae2"]


def test_images_are_taken_as_fit_took_them():
    pixels = np.random.default_rng(0).random((30, 8, 8))
    model = ssvae.SSVAE(epochs=1, latent_dim=2, device="cpu", overrides=["encoder.backbone.width=4"]).fit(pixels)
    bytes_ = np.rint(pixels * 255).astype(np.uint8)
    np.testing.assert_array_equal(model.transform(pixels), model.encoder_.z(bytes_))
    assert isinstance(model.transform(torch.from_numpy(pixels)), torch.Tensor)
    with pytest.raises(ssvae.UserError, match="X is uint8, and fit was given pixels as floats"):
        model.transform(bytes_)


def test_the_columns_of_a_data_frame_are_those_of_fit_in_their_order():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = tiny().fit(frame)
    assert list(model.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(model.transform(frame), model.transform(X))
    for call in (model.transform, model.elbo):
        with pytest.raises(ssvae.UserError, match="feature names should match .*: a, b, c, d"):
            call(frame[list("badc")])


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


WINDOWS = ["dataset=sequences", "pairs=window", "pairs.length=2", "trainer.batch_size=8", *TINY]


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
    with pytest.raises(ssvae.UserError, match="sequences of 1 steps are shorter than"):
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


def test_fit_leaves_hydra_torch_and_standard_output_as_they_were(capfd):
    GlobalHydra.instance().clear()
    tiny().fit(X)
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_module("ssvae_cli.conf", version_base="1.2"):
        of_user, random = GlobalHydra.instance().hydra, torch.get_rng_state()
        tiny(overrides=["trainer.precision=float64"]).fit(X)
        assert GlobalHydra.instance().hydra is of_user
        assert compose("verify") is not None
    assert torch.equal(torch.get_rng_state(), random) and torch.get_default_dtype() == torch.float32
    assert capfd.readouterr() == ("", "")


def test_a_program_that_needs_no_gradients_or_works_on_another_device_gets_the_same():
    z = tiny().fit(X).transform(X)
    with torch.inference_mode(), torch.device("meta"):
        np.testing.assert_array_equal(tiny().fit(X).transform(X), z)
        assert torch.is_inference_mode_enabled() and torch.get_default_device().type == "meta"


def test_fit_gives_freed_memory_back_also_after_a_fault(monkeypatch):
    calls = []
    monkeypatch.setattr(loop, "keep_freed", lambda device: calls.append("kept"))
    monkeypatch.setattr(api, "give_freed_back", lambda: calls.append("given back"))
    monkeypatch.setattr(loop, "make_data", lambda *_, **__: calls[7])
    with pytest.raises(IndexError):
        tiny().fit(X)
    assert calls == ["kept", "given back"]


def test_a_folder_keeps_a_run_that_the_commands_read(tmp_path):
    model = tiny(folder=tmp_path / "a run").fit(X)
    np.testing.assert_array_equal(ssvae.load(tmp_path / "a run", device="cpu").z(X), model.transform(X))
    assert command("train", f"resume={tmp_path / 'a run'}", "trainer.epochs=2") == 0
    (run,), _ = find_runs([tmp_path])
    assert run.choices["dataset"] == "npz" and len(run.history) == 2 and "encoder.latent_dim=3" in run.overrides
    with pytest.raises(ssvae.UserError, match="folder=.* is not empty"):
        tiny(folder=tmp_path / "a run").fit(X)


@pytest.mark.parametrize("wrong", [{"prior": "infnce"}, {"epochs": "many"}])
def test_a_mistake_leaves_no_folder(wrong, tmp_path):
    with pytest.raises(ssvae.UserError):
        tiny(folder=tmp_path / "new" / "run", **wrong).fit(X)
    assert not list(tmp_path.iterdir())


def test_a_fitted_estimator_is_pickled_with_its_elbo(paired):
    again = pickle.loads(pickle.dumps(paired))
    np.testing.assert_array_equal(again.transform(X), paired.transform(X))
    assert again.elbo(X, X2) == paired.elbo(X, X2)


def test_before_fit_it_says_so_as_scikit_learn_does():
    for call in (lambda: tiny().transform(X), lambda: tiny().elbo(X, X2)):
        with pytest.raises(NotFittedError):
            call()


@pytest.mark.parametrize(
    ("settings", "data", "said"),
    [
        ({"prior": "infnce"}, (X,), "did you mean 'infonce'"),
        ({"seed": -1}, (X,), "seed must be an integer of at least 0"),
        ({"epochs": "many"}, (X,), "trainer.epochs must be an integer"),
        ({"latent_dim": 0}, (X,), "latent_dim"),
        ({"overrides": ["optimizer.lrr=1"]}, (X,), "did you mean 'optimizer.lr'"),
        ({"overrides": ["-m"]}, (X,), "is no setting"),
        ({"overrides": ["hydra.run.dir=here"]}, (X,), "is for the command line"),
        ({"overrides": [3]}, (X,), "overrides are words"),
        ({"overrides": "seed=1"}, (X,), "overrides must be a list of words"),
        ({"prior": 3}, (X,), "given: prior=3"),
        ({"overrides": ["dataset.path=other.npz"]}, (X,), "leave out dataset.path"),
        ({"overrides": ["dataset=digits"]}, (X,), "dataset=digits: the data are X; allowed: npz, sequences"),
        ({"overrides": ["dataset=sequences"]}, (X, X2), "fit takes X alone with dataset=sequences"),
        ({"folder": ""}, (X,), "folder is empty"),
        ({"folder": 3}, (X,), "folder must be a path or None"),
        ({}, (X, [[1], [1, 2]]), "y is no array of numbers"),
        ({}, (X[:3],), "n_samples = 3"),
        ({}, (X, X2[:5]), "X has 60 samples and y, x' of each pair, has 5"),
        ({}, (X, [0, 1]), "X has 60 samples, and y, their labels, 2"),
        ({}, (X, 3), "X has 60 samples, and y, their labels, 1"),
        ({}, (np.full((9, 3), np.nan),), "X has 27 values that are NaN or infinite"),
        ({}, (X.reshape(60, 2, 2) - 9,), "floats must lie in [0, 1]"),
        ({}, (["a", "b"],), "numbers are taken"),
    ],
)
def test_a_mistake_is_a_value_error_in_one_line(settings, data, said):
    with pytest.raises(ssvae.UserError) as refused:
        tiny(**settings).fit(*data)
    assert said in str(refused.value) and "\n" not in str(refused.value) and isinstance(refused.value, ValueError)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((X[:5],), "elbo needs y"),
        ((X[:5], X2[:5, :2]), "y has 2 features, but SSVAE is expecting 4"),
        ((X[:5, :3], X2[:5]), "X has 3 features, but SSVAE is expecting 4 features as input"),
        ((X[:1], X2[:1]), "the ELBO cannot be estimated: test has 1 row"),
    ],
)
def test_elbo_refuses_what_are_no_pairs_of_its_fit(data, said, paired):
    with pytest.raises(ssvae.UserError) as refused:
        paired.elbo(*data)
    assert said in str(refused.value)
