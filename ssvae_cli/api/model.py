"""`SSVAE`: training on arrays in scikit-learn's way, by the same configuration and the same loop as `ssvae train`."""

import contextlib
import copy
import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from omegaconf import OmegaConf
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ssvae_cli.api.arrays import as_array
from ssvae_cli.api.call import call
from ssvae_cli.api.compose import composed
from ssvae_cli.api.encoder import Array, TrainedEncoder, inputs_of
from ssvae_cli.api.given import given_pairs
from ssvae_cli.api.series import shortest, stacked
from ssvae_cli.cli.claim import Claim, claim_new
from ssvae_cli.cli.job import records
from ssvae_cli.cli.overrides import override_name, override_value, quoted
from ssvae_cli.datasets.base import UNLABELLED, Split
from ssvae_cli.datasets.io.arrays import images_or_vectors
from ssvae_cli.datasets.io.rows import Rows
from ssvae_cli.datasets.io.series import padded_part
from ssvae_cli.datasets.sequences import steps
from ssvae_cli.device import give_freed_back, in_precision
from ssvae_cli.errors import UserError, allowed, counted, require
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.groups import conf
from ssvae_cli.load_run import Loaded, load_run
from ssvae_cli.paths import expanded, literal
from ssvae_cli.tracking.console import silence
from ssvae_cli.tracking.missing import Missing
from ssvae_cli.train import train
from ssvae_cli.training.signals import Stopped

DATA = "data.npz"  # in the run's folder: the arrays
READ_AS = ("npz", "sequences")  # data sets of arrays
LEAST = 4  # samples: two to train on, one for validation, one for test


class SSVAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A self-supervised VAE on arrays: `fit` trains it, `transform` gives z, `elbo` the held-out ELBO in nats.

    The data are images, [N, C, H, W] or [N, H, W], integers of 0 to 255 or floats in [0, 1], or vectors, [N, D]; with
    the override dataset=sequences also videos and series, [N, T, D], with NaN after the last step of each,
    or a list of them. A tenth is held out for validation.

    prior, encoder, pairs: choices as on the command line; None: what suits the data. latent_dim: the dimension of z,
    None: the encoder's own. overrides: any others, such as "optimizer.lr=0.01" or "prior/critic=bilinear". device:
    auto, cpu, cuda. folder: a new or empty folder for the run, which the commands read; None: nothing is kept on disk.
    verbose: a bar while it trains. A metric is read in training only if an override names it, or evaluation.

    After `fit`: `encoder_`, a TrainedEncoder (for `encoder_.features`), and `history_`, the numbers of each epoch. A
    mistake is an InputError, a ValueError in one line. A Pipeline's labels, [N], are not used.
    """

    def __init__(
        self,
        *,
        prior: str = "infonce",
        latent_dim: int | None = None,
        encoder: str | None = None,
        pairs: str | None = None,
        epochs: int = 30,
        seed: int = 0,
        device: str = "auto",
        overrides: Sequence[str] = (),
        folder: str | PathLike | None = None,
        verbose: bool = False,
    ):
        self.prior, self.latent_dim, self.encoder, self.pairs = prior, latent_dim, encoder, pairs
        self.epochs, self.seed, self.device, self.overrides = epochs, seed, device, overrides
        self.folder, self.verbose = folder, verbose

    def fit(self, X: Any, y: Any = None) -> "SSVAE":
        """Train on X, [N, ...], whose views are made by `pairs`; or on the pairs of X and y, x', [N, ...]."""
        with call(), contextlib.ExitStack() as stack:
            self._require_settings()
            with in_precision(override_value("trainer.precision", [*map(str, self.overrides)]) or "float32"):
                x = self._read(X, "X")
                x_prime = self._read_prime(y, len(x))
            require(len(x) >= LEAST, f"X has n_samples = {len(x)}; at least {LEAST} are needed")
            fault = f"fit takes X alone with dataset={self._dataset}, whose pairs are made of X"
            require(x_prime is None or self._dataset == "npz", fault)
            if x_prime is not None and x_prime.shape[1:] == (1,) != x.shape[1:]:
                said = f"y is {list(x_prime.shape)}: x' of each pair, one number; labels, which play no part, are [N]"
                warnings.warn(said, DataConversionWarning, stacklevel=2)
            folder = self.folder
            if folder is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ssvae-"))
            claim = claim_new(Path(expanded(fspath(folder), "folder")), "folder")
            stack.callback(claim.end)
            sides = {"x": x} if x_prime is None else {"x": x, "x2": x_prime}
            try:
                self._train(claim, sides)
            except UserError:
                claim.withdraw()
                raise
            run = claim.folder
            with _same_random_state():
                self.run_: Loaded = load_run(str(run), device=self.device, trust=True)
            self.history_ = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
        loaded, name = self.run_, "SSVAE" if self.folder is None else str(run)
        inputs = inputs_of(loaded.data.sample(), {}, loaded.pairs)
        self.encoder_ = TrainedEncoder(loaded.objective, loaded.pairs, loaded.config, inputs, name=name)
        self.given_pairs_ = x_prime is not None
        self.kinds_ = {"X": x.dtype.kind, "y": (x_prime if self.given_pairs_ else x).dtype.kind}
        self._n_features_out = self.encoder_.latent_dim
        for attribute in ("n_features_in_", "feature_names_in_"):  # of an earlier fit
            vars(self).pop(attribute, None)
        if x.ndim == 2:
            self.n_features_in_ = x.shape[1]
        self.names_ = {"X": column_names(X), "y": column_names(y if self.given_pairs_ else X)}
        if self.names_["X"] is not None:
            self.feature_names_in_ = self.names_["X"]
        return self

    def transform(self, X: Any) -> Array:
        """z, the mean of Q(z|x), [N, latent_dim]; a tensor where X is one."""
        check_is_fitted(self)
        with call(), in_precision(self.run_.config.trainer.precision):
            self._require_names(X, "X")
            z = self.encoder_.means(self._as_in_training(self._read(X, "X", self.run_.data.shape[0]), "X"))
        return z.to(X.device) if isinstance(X, Tensor) else z.numpy()

    def elbo(self, X: Any, y: Any = None) -> float:
        """The ELBO of held-out samples in nats, as `elbo/test` is read: of views of X, or of the pairs of X and y."""
        check_is_fitted(self)
        loaded, device = self.run_, self.encoder_.device
        with call(), in_precision(loaded.config.trainer.precision), _same_random_state():
            self._require_names(X, "X")
            self._require_names(y, "y")
            least = loaded.data.shape[0]
            held_out = self._as_in_training(self._read(X, "X", least), "X")
            x_prime = self._read_prime(y, len(held_out), least)
            require(x_prime is not None or not self.given_pairs_, "elbo needs y, x' of each pair, as fit was given it")
            pairs = loaded.pairs if self.given_pairs_ or x_prime is None else given_pairs(loaded)
            if x_prime is not None:
                other = self._as_in_training(x_prime, "y")
                ends = self._dataset == "npz" or held_out.lengths.equal(other.lengths)
                require(ends, "the series of X and those of y end at different steps")
                held_out = replace(held_out, x_prime=other.x)
            if loaded.pairs.within_length:  # long enough for views; a copy, as the run's are attached to its own data
                copy.deepcopy(loaded.pairs).attach(shortest(held_out))
            held_out = held_out.to(device)
            evaluation = build(loaded.config.evaluation, "evaluation")
            reading = evaluation.reading(loaded.objective, pairs, replace(loaded.data, test=held_out))
            metric = evaluation.metrics.get("elbo") or build(composed(())[0].evaluation.metrics.elbo, "elbo")
            value = metric(reading, "test")["elbo/test"]
            if isinstance(value, Missing):
                raise UserError(f"the ELBO cannot be estimated: {value.reason}")
        return value

    def _require_settings(self) -> None:
        """Raise UserError for overrides that are no list or choose data other than X, and a folder that is no path."""
        listed = isinstance(self.overrides, Sequence) and not isinstance(self.overrides, str)
        require(listed, f"overrides must be a list of words such as 'optimizer.lr=0.01', got {self.overrides!r}")
        fault = f"overrides: dataset={self._dataset}: the data are X"
        require(self._dataset in READ_AS, f"{fault}; {allowed(self._dataset, READ_AS)}")
        is_path = self.folder is None or isinstance(self.folder, (str, PathLike))
        require(is_path, f"folder must be a path or None, got {self.folder!r}")

    def _require_names(self, x: Any, name: Literal["X", "y"]) -> None:
        """Raise UserError where the columns of a DataFrame are not those of `fit`, in their order."""
        known, names = self.names_[name], column_names(x)
        if known is not None and names is not None and list(known) != list(names):
            mismatch = "The feature names should match those that were passed during fit"  # as scikit-learn says it
            raise UserError(f"{mismatch}: {', '.join(known)}{'' if name == 'X' else ', of y'}")

    def _train(self, claim: Claim, sides: dict[str, np.ndarray]) -> None:
        """Train on the arrays, in the folder that is claimed."""
        claim.will_make(DATA)
        np.savez(claim.folder / DATA, **sides)
        config, hydra = composed(self._overrides(claim.folder / DATA, paired="x2" in sides))
        claim.store(records(config, hydra))
        quiet = contextlib.nullcontext() if self.verbose else silence()
        with in_precision(config.trainer.precision), _same_random_state(), quiet:
            try:
                train(config, claim.folder, dict(hydra.runtime.choices))
            except Stopped:
                raise KeyboardInterrupt from None
            finally:
                give_freed_back()

    def _overrides(self, path: Path, *, paired: bool) -> list[str]:
        """The parameters as overrides; those that the user gave come last, and win."""
        dataset = "paired" if paired else self._dataset
        kept = {"path": quoted(literal(str(path))), "test": 1, "memory_gb": 1e6}  # the one of test is never read
        keys = {
            "dataset": dataset,
            **{f"dataset.{key}": value for key, value in kept.items()},
            "prior": self.prior,
            "encoder": self.encoder,
            "pairs": self.pairs,
            "encoder.latent_dim": self.latent_dim,
            "trainer.epochs": self.epochs,
            "trainer.device": self.device,
            "seed": self.seed,
        }
        given = [*self.overrides]
        named = {override_name(str(override)) for override in given}
        require("dataset.path" not in named, "overrides: leave out dataset.path, as the data are X")
        for metric in [] if "evaluation" in named else _metrics():
            key = f"evaluation.metrics.{metric}"
            if not any(name.startswith(key) for name in named):
                keys[key] = "null"
        return [*(f"{key}={value}" for key, value in keys.items() if value is not None and key not in named), *given]

    @property
    def _dataset(self) -> str:
        return override_value("dataset", [*map(str, self.overrides)]) or "npz"

    def _read(self, x: Any, name: str, least: int = 0) -> np.ndarray:
        """Any array that the data set takes; least: steps to which a list of series is padded. Raises UserError."""
        array = as_array(stacked(x, name, least) if self._dataset == "sequences" else x, name)
        require(array.ndim != 1, f"{name} is {list(array.shape)}. Reshape your data: one row is one sample, [N, D]")
        empty = "0 sample(s)" if len(array) == 0 else "0 feature(s)"
        require(array.size > 0, f"{name} is empty: {empty} (shape={array.shape}) while a minimum of 1 is required.")
        self._samples(array, name)
        return array

    def _read_prime(self, y: Any, count: int, least: int = 0) -> np.ndarray | None:
        """x' of each pair; None for labels, which a Pipeline passes."""
        with contextlib.suppress(ValueError):  # lists of unequal lengths, which `_read` refuses
            if y is None:
                return None
            array = y if hasattr(y, "ndim") else np.asarray(y)
            if array.ndim < 2:
                labels = array.shape[0] if array.ndim else 1
                require(labels == count, f"X has {counted(count, 'sample')}, and y, their labels, {labels}")
                return None
        x_prime = self._read(y, "y", least)
        require(len(x_prime) == count, f"X has {counted(count, 'sample')} and y, x' of each pair, has {len(x_prime)}")
        return x_prime

    def _samples(self, array: np.ndarray, name: str) -> tuple[Rows, np.ndarray | None]:
        """The array as the data set reads it, and where its series end, if one is padded. Raises UserError."""
        if self._dataset == "npz":
            return images_or_vectors(name, array), None
        mask = override_value("dataset.missing", [*map(str, self.overrides)]) == "mask"
        named = padded_part(lambda _: name, {"x": array}, mask=mask)
        return steps(name, named["x"]), named.get("length")

    def _as_in_training(self, array: np.ndarray, name: Literal["X", "y"]) -> Split:
        """An array like that of `fit`, as the data set gives it. Raises UserError for one of another shape or type."""
        (rows, length), data = self._samples(array, name), self.run_.data
        known = data.shape_prime if name == "y" and self.given_pairs_ else data.shape
        free = int(self.run_.pairs.within_length)  # series of other lengths than those of `fit` are read as well
        shapes = f"one sample of {name} is {list(rows.shape)}, and fit was given {list(known)}"
        if len(rows.shape) == len(known) == 1:
            shapes = f"{name} has {rows.shape[0]} features, but SSVAE is expecting {known[0]} features as input"
        shapes += "; one sample is given as X[None]" if array.shape[free:] == known[free:] else ""
        require(len(rows.shape) == len(known) and rows.shape[free:] == known[free:], shapes)
        kinds = {"f": "floats", "u": "integers", "i": "integers", "b": "true and false"}
        got, fitted = kinds[array.dtype.kind], kinds[self.kinds_[name]]
        of_pixels = rows.dtype == np.uint8
        require(got == fitted or not of_pixels, f"{name} is {array.dtype}, and fit was given pixels as {fitted}")
        values = np.empty((len(rows), *rows.shape), rows.dtype)
        rows.read(range(len(rows)), values)
        unlabelled = torch.full((len(values),), UNLABELLED)
        return Split(torch.from_numpy(values), unlabelled, length=None if length is None else torch.from_numpy(length))


def column_names(x: Any) -> np.ndarray | None:
    """Those of a DataFrame whose columns are named by words; None for anything else."""
    names = list(getattr(x, "columns", ()))
    return np.array(names, object) if names and all(isinstance(name, str) for name in names) else None


@contextlib.contextmanager
def _same_random_state() -> Iterator[None]:
    """torch's random generators are afterwards as they were."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        yield


def _metrics() -> list[str]:
    """The names of the metrics that `ssvae train` reads by default."""
    listed = OmegaConf.load(conf() / "evaluation" / "full.yaml").defaults
    return [str(key).rpartition(".")[2] for entry in listed if not isinstance(entry, str) for key in entry]
