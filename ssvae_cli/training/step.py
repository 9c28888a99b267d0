"""The forward pass of one training step: a batch to its ELBO; nothing in it waits for the device."""

import torch
from torch import Tensor

from ssvae_cli.compiler import compiled
from ssvae_cli.datasets.base import Split
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import Pairs, without_times


class Forward:
    """A batch to the ELBO of its pairs. compile: pairs and objective, forward and backward, in torch.compile's mode.

    noise: draws the views. Posterior samples are of torch's own stream, as a compiled graph takes no generator."""

    def __init__(self, objective: Objective, pairs: Pairs, noise: torch.Generator, *, compile: bool | str):
        self.pairs = pairs.compiled() if compile else pairs  # evaluation has other batch sizes and keeps its own
        self.noise = noise
        # In a function, so that the hooks on the objective, the NaN guard's, are in the one graph.
        self.elbo = compiled(lambda *views, **of_views: objective(*views, **of_views), compile)

    def __call__(self, batch: Split) -> Tensor:
        """The ELBO in nats, [], with its graph."""
        with torch.no_grad():
            views = self.pairs(batch, self.noise)
        views, times = without_times(views, self.pairs.times)
        return self.elbo(*views, times=times, unit=self.pairs.to_unit(views[0]))
