"""Two views that the user has, read by the encoder of a run that made its views itself."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import require
from ssvae_cli.load_run import Loaded
from ssvae_cli.pairs.base import Pairs


def given_pairs(loaded: Loaded) -> "GivenPairs":
    """The run's pairs, for given views. Raises UserError where the run has more than two, or one x' is not like x, so
    that g' reads no whole sample."""
    alone, views = "elbo takes X alone, as", loaded.objective.prior.views
    require(views <= 2, f"{alone} this encoder was trained on {views} views")
    x, x_prime, *_ = loaded.pairs.shapes(loaded.data)
    require(x == x_prime, f"{alone} one x' is {list(x_prime)} in these pairs, and one x {list(x)}")
    return GivenPairs(loaded.pairs)


class GivenPairs:
    """A run's pairs, for samples that have their own x' these two, without augmentation."""

    def __init__(self, pairs: Pairs):
        self.of_run = pairs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of_run, name)

    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if batch.x_prime is None:
            return self.of_run(batch, generator)
        return tuple(self.of_run.clean(replace(batch, x=x, x_prime=None)) for x in (batch.x, batch.x_prime))
