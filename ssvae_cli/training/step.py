"""The forward pass of one training step: a batch to its ELBO; nothing in it waits for the device."""

import torch
from torch import Tensor

from ssvae_cli.compiler import compiled
from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import PartError
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import Pairs


class Forward:
    """A batch to the ELBO of its pairs. compile: pairs and objective, forward and backward, in torch.compile's mode.

    noise: draws the views. Posterior samples are of torch's own stream, as a compiled graph takes no generator."""

    def __init__(self, objective: Objective, pairs: Pairs, noise: torch.Generator, *, compile: bool | str):
        self.pairs = pairs.compiled() if compile else pairs  # evaluation has other batch sizes and keeps its own
        self.noise, self.views = noise, objective.prior.views
        # In a function, so that the hooks on the objective, the NaN guard's, are in the one graph.
        self.elbo = compiled(lambda *views, **of_views: objective(*views, **of_views), compile)

    def __call__(self, batch: Split) -> Tensor:
        """The ELBO in nats, [], with its graph. Raises PartError where pairs are of other views than `shapes` says."""
        with torch.no_grad():
            views = self.pairs(batch, self.noise)
        views, times = views[: len(views) - self.pairs.times], views[len(views) - self.pairs.times :]
        if self.views not in (1, len(views)):  # an unstructured prior reads the first alone
            raise PartError(f"pairs: {type(self.pairs).__name__} gives {len(views)} views, and `shapes` {self.views}")
        return self.elbo(*views, times=times, unit=self.pairs.to_unit(views[0]))
