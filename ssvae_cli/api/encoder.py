"""A trained encoder from its run: raw samples in, features and latents out."""

from collections.abc import Callable
from dataclasses import fields
from os import PathLike, fsdecode
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from ssvae_cli.api.call import call
from ssvae_cli.api.inputs import Inputs
from ssvae_cli.api.series import by_steps, shortest
from ssvae_cli.datasets.base import UNLABELLED, Shape, Split
from ssvae_cli.datasets.measurements import Scaling
from ssvae_cli.device import device_of, in_precision
from ssvae_cli.errors import require, require_bool, require_integer
from ssvae_cli.instantiate.build import build
from ssvae_cli.instantiate.types import choice_of
from ssvae_cli.load_run import stored_run
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import CONTRACT as PAIRS
from ssvae_cli.pairs.base import Pairs

Array = np.ndarray | Tensor


def load(run: str | PathLike, *, device: str = "auto", trust: bool = False) -> "TrainedEncoder":
    """The encoder of a run's folder, with its preprocessing; the run's data are not needed.

    device: auto (a GPU if there is one), cpu, cuda. trust: whether classes that are neither ssvae's nor torch's may be
    built. Raises UserError where the folder holds no run, or one that is not trusted.
    """
    with call():
        require_bool(trust=trust)
        require(isinstance(run, (str, bytes, PathLike)), f"run must be a path, the folder of a run, got {run!r}")
        stored = stored_run(fsdecode(run), trust=trust)
        place = device_of(device)
        fork = torch.random.fork_rng(range(torch.cuda.device_count()) if place.type == "cuda" else [])
        with in_precision(stored.config.trainer.precision), fork:  # initial weights are drawn, then replaced
            objective, pairs = stored.objective(place), build(stored.config.pairs, "pairs", PAIRS)
    sample, fitted = stored.state["sample"], stored.state["fitted"]
    return TrainedEncoder(objective, pairs, stored.config, inputs_of(sample, fitted, pairs), name=fsdecode(run))


def inputs_of(sample: dict[str, Any], fitted: dict[str, Any], pairs: Pairs) -> Inputs:
    """What the encoder of a run takes. sample: `Data.sample` of its data; fitted: what was fitted to them."""
    any_steps = pairs.within_length and len(sample["shape"]) in (2, 4)
    scaling = {field.name: fitted[field.name] for field in fields(Scaling)} if "columns" in fitted else None
    settings = {"resize": "shape" in fitted, "scaling": scaling and Scaling(**scaling)}
    return Inputs(tuple(sample["shape"]), sample["bytes"], any_steps, **settings)


class TrainedEncoder:
    """x as the data give it -> the features that probes read, and z, the mean of Q(z|x).

    It takes uint8 images [N, C, H, W] (grey ones also [N, H, W]) or PIL images, vectors [N, D], series and videos
    [N, T, ...], as the run's data were, and preprocesses them itself; anything else is an InputError in one line.
    Series that end earlier have NaN after their last step, or are a list, [T, D] each.
    A numpy array, a list or an image gives a numpy array, a tensor gives a tensor on its own device.
    """

    def __init__(self, objective: Objective, pairs: Pairs, config: DictConfig, inputs: Inputs, *, name: str):
        self._objective, self._pairs, self._inputs, self._name = objective, pairs, inputs, name
        self._precision = config.trainer.precision
        self.latent_dim: int = config.encoder.latent_dim
        with call(), in_precision(self._precision):
            one = torch.zeros(1, *inputs.shape, dtype=torch.uint8 if inputs.is_bytes else torch.get_default_dtype())
            samples = Split(one, y=torch.full((1,), UNLABELLED))
            self.features_dim: int = self._batch(objective.features, samples).shape[1]

    @property
    def shape(self) -> Shape:
        """Of one x: (C, H, W), (D,) or (T, ...)."""
        return self._inputs.shape

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self._objective.parameters()).device

    def features(self, x: Any, *, batch_size: int = 512) -> Array:
        """[N, features_dim]: the features before the projector."""
        return self._each(self._objective.features, x, batch_size)

    def z(self, x: Any, *, batch_size: int = 512) -> Array:
        """[N, latent_dim]: the mean of Q(z|x)."""
        return self._each(self._mean, x, batch_size)

    def means(self, samples: Split, size: int = 512) -> Tensor:
        """z of samples that are read already, on their device."""
        return self._in_batches(self._mean, samples, size)

    def __repr__(self) -> str:
        prior = choice_of(type(self._objective.prior))
        sizes = f"latent_dim={self.latent_dim}, features_dim={self.features_dim}"
        return f"TrainedEncoder({self._name!r}, prior={prior}, x: {self._inputs}; {sizes}, device={self.device})"

    def _mean(self, clean: Tensor) -> Tensor:
        return self._objective.posterior(clean).mean

    def _each(self, read: Callable[[Tensor], Tensor], x: Any, batch_size: int) -> Array:
        with call(), in_precision(self._precision):
            size = batch_size.item() if isinstance(batch_size, np.integer) else batch_size
            require_integer(1, batch_size=size)
            rows = self._in_batches(read, self._inputs(x), size)
        return rows if isinstance(x, Tensor) else rows.numpy()

    def _in_batches(self, read: Callable[[Tensor], Tensor], samples: Split, size: int) -> Tensor:
        if self._inputs.any_steps:
            self._pairs.require_readable(shortest(samples))
        return torch.cat([self._batch(read, part).to(samples.x.device) for part in samples.batches(size)])

    @torch.no_grad()
    def _batch(self, read: Callable[[Tensor], Tensor], samples: Split) -> Tensor:
        """read(x as probes see it), float32 or better."""
        samples = samples.to(self.device)
        if not self._inputs.any_steps:
            return read(self._pairs.clean(samples)).to(torch.get_default_dtype())
        rows, values = zip(*((rows, read(self._pairs.clean(part))) for rows, part in by_steps(samples, self.shape[0])))
        return torch.cat(values)[torch.cat(rows).argsort()].to(torch.get_default_dtype())
