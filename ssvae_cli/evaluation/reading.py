"""What metrics read of one objective on one data set; each result is computed once."""

import math
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data
from ssvae_cli.errors import require
from ssvae_cli.evaluation.degeneracy import infinite_entropy
from ssvae_cli.evaluation.estimate import Estimate, too_few_classes
from ssvae_cli.evaluation.rows import evenly_spaced
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import Pairs
from ssvae_cli.tracking.missing import Missing

SPLITS = ("train", "validation", "test")
VIEWS_SEED = 0  # of evaluation's views, the same for runs of every seed
CHUNK = 512


class Reading:
    """Features, latents, labels and factors of every split, under the objective's current weights.

    Views and samples have a fixed seed. untrained: that of the objective before training, None if unknown.
    estimates: of earlier metrics by key.
    """

    def __init__(
        self, objective: Objective, pairs: Pairs, data: Data, *, fitting_pairs: int, untrained: Objective | None = None
    ):
        self.objective, self.pairs, self.data, self.fitting_pairs = objective, pairs, data, fitting_pairs
        same = {"pairs": pairs, "data": data, "fitting_pairs": fitting_pairs}
        self.untrained = None if untrained is None else Reading(untrained.eval(), **same)
        self.shape, _ = pairs.shapes(data)
        self.device = next(objective.parameters()).device
        self.estimates: dict[str, Estimate | Missing] = {}
        self._answers: dict[Hashable, Any] = {}

    def once(self, key: Hashable, answer: Callable[[], Any]) -> Any:
        """answer(), computed at the first call with this key only."""
        if key not in self._answers:
            self._answers[key] = answer()
        return self._answers[key]

    def generator(self) -> torch.Generator:
        """A new generator of evaluation's views and samples, at the fixed seed."""
        return torch.Generator(self.device).manual_seed(VIEWS_SEED)

    def features(self, split: str) -> Tensor:
        """The features of the clean x of a split, for probes, [N, F]."""
        return self.once(("features", split), lambda: self._each(split, self.objective.features, "feature"))

    def codes(self, split: str) -> Tensor:
        """The posterior's mean of the clean x of a split, [N, D]."""
        mean = lambda x: self.objective.encoder(x).mean
        return self.once(("codes", split), lambda: self._each(split, mean, "latent"))

    @torch.no_grad()
    def factors(self, split: str) -> Tensor:
        """The known factors of the clean x of a split, [N, F], in the columns of `data.factors`."""
        return torch.cat([self.pairs.factors(batch) for batch in self.data.splits[split].batches(CHUNK)])

    def labels(self, split: str) -> Tensor:
        """int64 [N], -1 where there is none."""
        return self.data.splits[split].y.to(self.device)

    def has_labels(self) -> bool:
        """Whether the data have a label at all."""
        return any(bool((split.y >= 0).any()) for split in self.data.splits.values())

    def too_few_classes(self, split: str) -> Missing | None:
        """Why an accuracy on a split says nothing."""
        return too_few_classes(*map(self.labels, ("train", "validation", split)), split)

    def latents(self, split: str, views: int = 1, at_most: int | None = None) -> tuple[Tensor, ...]:
        """(z, z') or (z,) of `views` pairs of views per x, [views * N, D] each; of `at_most` evenly spaced x."""
        return self.once(("latents", split, views, at_most), lambda: self._latents(split, views, at_most))

    def infinite_entropy(self) -> Missing | None:
        """Why the ELBO of a prior that contains H(z) and H(z') cannot be estimated, as train shows it."""
        find = lambda: infinite_entropy(self.objective, self.fitting_latents("train"), math.prod(self.shape))
        return self.once("infinite_entropy", find)

    def explained(self, split: str) -> Tensor | None:
        """The share of each coordinate of z's variance that the posterior's mean has, [D]; the rest is noise. None for
        a deterministic encoder."""
        if not self.objective.encoder.stochastic or len(self.data.splits[split]) < 2:
            return None
        z, mean = self.latents(split)[0].double(), self.codes(split).double()
        return mean.var(0) / z.var(0)

    def fitting_latents(self, split: str) -> tuple[Tensor, ...]:
        """The latents that densities and critics are fitted to (train) or chosen on (validation)."""
        views = max(1, self.fitting_pairs // len(self.data.train))
        return self.latents(split, views, self.fitting_pairs)

    def raw(self, split: str) -> Tensor:
        """The clean x of a split themselves, [N, prod(shape)]: a baseline of the probe where they are small."""
        return self._each(split, torch.nn.Flatten(), "pixel")

    @torch.no_grad()
    def _each(self, split: str, read: Callable[[Tensor], Tensor], what: str) -> Tensor:
        """read(clean x) of a whole split."""
        batches = self.data.splits[split].batches(CHUNK)
        return _finite(torch.cat([read(self.pairs.clean(batch)) for batch in batches]), what)

    @torch.no_grad()
    def _latents(self, split: str, views: int, at_most: int | None) -> tuple[Tensor, ...]:
        images, generator, rows = self.data.splits[split], self.generator(), []
        if at_most is not None and len(images) > at_most:
            images = images.rows(evenly_spaced(len(images), at_most, self.device))
        for _ in range(views):
            for batch in images.batches(CHUNK):
                rows.append(self.objective.encode(*self.pairs(batch, generator), generator).latents)
        return tuple(_finite(torch.cat(side), "latent") for side in zip(*rows))


def _finite(z: Tensor, what: str) -> Tensor:
    """z, [N, D]; raises UserError if it is not finite, because the weights diverged in the last training steps."""
    require(bool(z.isfinite().all()), f"training diverged: a {what} is not finite when evaluated; lower optimizer.lr")
    return z
