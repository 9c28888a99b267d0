"""`ssvae.SSVAE`: scikit-learn's habits over the program's own configuration and training loop."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

import ssvae_cli as ssvae
from helpers import SHORT_FITS
from helpers import ssvae as command
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
    "check_transformer_data_not_an_array",
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


def test_labels_as_a_column_are_pairs_and_it_says_so():
    labels = pd.DataFrame({"label": (X[:, 0] > 0).astype(int)})
    with pytest.warns(
        DataConversionWarning, match=r"y is \[60, 1\]: x' of each pair, one number; labels, .* are \[N\]"
    ):
        assert tiny().fit(X, labels).given_pairs_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny().fit(X[:, :1], X2[:, :1])
        tiny().fit(X, labels["label"])


def test_a_word_that_is_no_choice_is_refused_without_hydras_own_traceback():
    with pytest.raises(ssvae.UserError) as refused:
        tiny(prior="infnce").fit(X)
    assert refused.value.__cause__ is None


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


def test_the_columns_of_the_other_side_are_those_of_fit_too():
    x, x_prime = pd.DataFrame(X, columns=list("abcd")), pd.DataFrame(X2, columns=list("efgh"))
    for fitted, names in ((tiny().fit(x, x_prime), "e, f, g, h"), (tiny().fit(x), "a, b, c, d")):
        own = x_prime if fitted.given_pairs_ else x
        assert np.isfinite(fitted.elbo(x, own))
        with pytest.raises(ssvae.UserError, match=f"feature names should match .*: {names}, of y"):
            fitted.elbo(x, own[own.columns[::-1]])


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
        ({}, (np.full((9, 3), np.nan),), "X has values that are NaN or infinite in 9 of 9 rows"),
        ({}, (X.reshape(60, 2, 2) - 9,), "floats must lie in [0, 1]"),
        ({}, (X.reshape(60, 2, 2) - 9,), "series, [N, T, D], are read by dataset=sequences"),
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
