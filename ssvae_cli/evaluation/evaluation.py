"""The metrics of a run, computed in order."""

from collections.abc import Callable
from types import NoneType
from typing import Any, Literal, Protocol

import torch

from ssvae_cli.datasets.base import Data
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.errors import PartError, require, require_above, require_at_least
from ssvae_cli.evaluation.densities import DensityFit
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.evaluation.rows import fewer
from ssvae_cli.instantiate.own_faults import same_floats
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import Pairs
from ssvae_cli.tracking.missing import Missing, as_python, explained

Values = dict[str, float | str | Missing | None]
SHARED = "the features or latents that all metrics read; compute on a copy, as reading.features(split).clone()"
CONTRACT = "a metric is called with (reading, split) and returns a mapping such as {'name/test': 0.5}"


class Metric(Protocol):
    """Numbers read from an encoder, on `validation` while training and on `test` once, after the last epoch.

    It returns numbers by name, each a tag of TensorBoard. Those of test go to summary.json, with the same keys for
    every run; those of validation, whose names end in /validation, go to metrics.jsonl. None where a number does not
    apply; Missing(reason) where it cannot be estimated, as is assumed of one that is not finite.
    """

    def __call__(self, reading: Reading, split: Literal["validation", "test"]) -> Values: ...


class Evaluation:
    """The metrics by name, in the order of computation, and the budget that they share.

    metrics: null leaves one out. fitting_pairs: about how many pairs of views densities and critics are fitted to;
    several per image of small sets. density: how densities of latents are fitted. noise: standard deviation of the
    normal noise with which a deterministic encoder's latents are read; null for none. test: whether a run reads test,
    once, at its end. rows: of each split that are read, at most; null for all.
    """

    def __init__(
        self,
        *,
        metrics: dict[str, Metric | None],
        fitting_pairs: int,
        density: DensityFit,
        noise: float | None = None,
        test: bool = True,
        rows: int | None = None,
    ):
        require_at_least(1, fitting_pairs=fitting_pairs)
        require(rows is None or rows >= 2, f"rows must be at least 2 (a pair needs a negative) or null, got {rows}")
        if noise is not None:
            require_above(0, noise=noise)
        self.test, self.rows = test, rows
        self.settings = {"fitting_pairs": fitting_pairs, "density": density, "noise": noise}
        self.metrics = {name: metric for name, metric in metrics.items() if metric is not None}
        for name, metric in self.metrics.items():
            if not callable(metric):
                raise PartError(f"metrics.{name}: {type(metric).__name__} is no metric; {CONTRACT}")
        first: dict[type, str] = {}
        for name, metric in self.metrics.items():
            kind = type(metric)
            fits = first.setdefault(kind, name) == name or not kind.__module__.startswith("ssvae_cli.")
            same = f"{kind.__name__}, as metrics.{first[kind]} is: their numbers have the same names"
            require(fits, f"metrics.{name} is {same}; leave one out")

    def require_served(self, objective: Objective) -> None:
        """Raise UserError for an objective whose latents cannot be read with these settings."""
        space, noise = objective.prior.space, self.settings["noise"]
        fits = noise is None or space is SPACES["euclidean"]
        require(fits, f"evaluation.noise needs z in R^D, got a prior on the {space.name}; give evaluation.noise=null")
        own = objective.encoder.stochastic and objective.encoder_prime.stochastic
        why = "evaluation.noise smooths a deterministic encoder, and this posterior has its own noise"
        require(noise is None or not own, f"{why}; give evaluation.noise=null")

    def reading(self, objective: Objective, pairs: Pairs, data: Data, untrained: Objective | None = None) -> Reading:
        """What the metrics read: the objective with its current weights, and data on its device."""
        data = data if self.rows is None else fewer(data, self.rows)
        return Reading(objective, pairs, data, untrained=untrained, **self.settings)

    def __call__(
        self, reading: Reading, split: Literal["validation", "test"], begin: Callable[[str], None] = lambda name: None
    ) -> Values:
        """The numbers of all metrics on one split; begin: called with each metric's name as it begins.

        Labels are used here, and nowhere in training."""
        values: Values = {}
        for name, metric in self.metrics.items():
            begin(name)
            reading.objective.eval()
            whose = f"evaluation.metrics.{name}: {type(metric).__name__}"
            with same_floats(whose), torch.enable_grad():  # and so again after a metric that left it off
                numbers = metric(reading, split)
            if isinstance(numbers, dict):
                numbers = {key: as_python(value) for key, value in numbers.items()}
            wrong = fault_of(numbers, split, values)
            if wrong or reading.is_written_to():
                did = f"returned {wrong}" if wrong else f"wrote into {SHARED}"
                raise PartError(f"evaluation.metrics.{name}: on {split} {type(metric).__name__} {did}")
            values |= explained(numbers, f"evaluation.metrics.{name}")
        return values


def fault_of(numbers: Any, split: str, values: Values) -> str | None:
    """What keeps a metric's answer from standing with the values of the others, or None."""
    if not isinstance(numbers, dict):
        return f"a {type(numbers).__name__}; {CONTRACT}"
    for key, value in numbers.items():
        if not isinstance(key, str):
            return f"{key!r} for a name; {CONTRACT}"
        if not key.isprintable():
            return f"{key!r}, a name with characters that cannot be printed"
        if key in values:
            return f"'{key}', which another metric gives; take another name"
        words = (str,) if split == "test" else ()  # in the summary alone: a word has no curve
        if not isinstance(value, (int, float, Missing, NoneType, *words)):
            sized = f" of {list(value.shape)}" if hasattr(value, "shape") else ""
            return f"'{key}' as a {type(value).__name__}{sized}, and not as one number; {CONTRACT}"
        if split == "validation" and not key.endswith("/validation"):
            return f"'{key}', a name that test would share; end it with /validation, by f'name/{{split}}'"
    return None
