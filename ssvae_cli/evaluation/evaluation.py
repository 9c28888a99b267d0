"""The metrics of a run, computed in order."""

from typing import Literal, Protocol

from ssvae_cli.datasets.base import Data
from ssvae_cli.errors import PartError, require_at_least
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import Pairs

Values = dict[str, float | str | None]
CONTRACT = "a metric is called with (reading, split) and returns a mapping such as {'name/test': 0.5}"


class Metric(Protocol):
    """Numbers read from an encoder, on `validation` while training and on `test` once, after the last epoch.

    It returns numbers by name, each a tag of TensorBoard. Those of test go to summary.json, with the same keys for
    every run and null where they do not apply; those of validation go to metrics.jsonl.
    """

    def __call__(self, reading: Reading, split: Literal["validation", "test"]) -> Values: ...


class Evaluation:
    """The metrics by name, in the order of computation, and the budget that they share.

    metrics: null leaves one out. fitting_pairs: about how many pairs of views densities and critics are fitted to;
    several per image of small sets.
    """

    def __init__(self, *, metrics: dict[str, Metric | None], fitting_pairs: int):
        require_at_least(1, fitting_pairs=fitting_pairs)
        self.fitting_pairs = fitting_pairs
        self.metrics = {name: metric for name, metric in metrics.items() if metric is not None}
        for name, metric in self.metrics.items():
            if not callable(metric):
                raise PartError(f"metrics.{name}: {type(metric).__name__} is no metric; {CONTRACT}")

    def reading(self, objective: Objective, pairs: Pairs, data: Data, untrained: Objective | None = None) -> Reading:
        """What the metrics read: the objective with its current weights, and data on its device."""
        return Reading(objective, pairs, data, fitting_pairs=self.fitting_pairs, untrained=untrained)

    def __call__(self, reading: Reading, split: Literal["validation", "test"]) -> Values:
        """The numbers of all metrics on one split. Labels are used here, and nowhere in training."""
        values: Values = {}
        for name, metric in self.metrics.items():
            reading.objective.eval()
            numbers = metric(reading, split)
            if not isinstance(numbers, dict):
                wrong = f"{type(metric).__name__} returned a {type(numbers).__name__}"
                raise PartError(f"evaluation.metrics.{name}: {wrong}; {CONTRACT}")
            values |= numbers
        return values
