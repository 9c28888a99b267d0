"""The metrics of a run, read one after another."""

from typing import Literal, Protocol

from ssvae_cli.datasets.base import Data
from ssvae_cli.errors import PartError, require_at_least
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import Pairs

Values = dict[str, float | str | None]


class Metric(Protocol):
    """Numbers read from an encoder, on `validation` while training and on `test` once, after the last epoch.

    Its answer maps names to numbers: those of test to the keys of summary.json, the same ones for every run and null
    where they do not apply; those of validation to metrics.jsonl. Each name is a tag of TensorBoard.
    """

    def __call__(self, reading: Reading, split: Literal["validation", "test"]) -> Values: ...


class Evaluation:
    """The metrics by name, in the order in which they are read, and the budget that they share.

    fitting_pairs: how many pairs of views, about, densities and critics are fitted to; of small sets several an image.
    """

    def __init__(self, *, metrics: dict[str, Metric], fitting_pairs: int):
        require_at_least(1, fitting_pairs=fitting_pairs)
        for name, metric in metrics.items():
            if not callable(metric):
                raise PartError(f"metrics.{name}: {type(metric).__name__} is no metric; {self._contract(name)}")
        self.metrics, self.fitting_pairs = metrics, fitting_pairs

    def reading(self, objective: Objective, pairs: Pairs, data: Data, untrained: Objective | None = None) -> Reading:
        """What the metrics read: the objective as its weights now are; data on its device."""
        return Reading(objective, pairs, data, fitting_pairs=self.fitting_pairs, untrained=untrained)

    def __call__(self, reading: Reading, split: Literal["validation", "test"]) -> Values:
        """Every metric's numbers of one split. Labels are used here, and nowhere in training."""
        values: Values = {}
        for name, metric in self.metrics.items():
            reading.objective.eval()
            found = metric(reading, split)
            if not isinstance(found, dict):
                kind = f"{type(metric).__name__} returned a {type(found).__name__}"
                raise PartError(f"evaluation.metrics.{name}: {kind}; {self._contract(name)}")
            values |= found
        return values

    @staticmethod
    def _contract(name: str) -> str:
        return f"a metric is called with (reading, split) and returns a mapping such as {{'{name}/test': 0.5}}"
