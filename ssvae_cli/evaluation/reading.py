"""What metrics read of one objective on one data set; each result is computed once."""

import math
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split, evenly_spaced
from ssvae_cli.distributions.spaces import Simplex
from ssvae_cli.errors import require
from ssvae_cli.evaluation import seeds
from ssvae_cli.evaluation.categories import Categories
from ssvae_cli.evaluation.degeneracy import infinite_entropy
from ssvae_cli.evaluation.densities import LEAST, Densities, DensityFit
from ssvae_cli.evaluation.estimate import Enclosed, Estimate, too_few_classes, too_few_pairs
from ssvae_cli.evaluation.explicit import ANCHORS, Explicit
from ssvae_cli.evaluation.posterior_mixture import PosteriorMixture
from ssvae_cli.evaluation.smoothing import smoothed
from ssvae_cli.instantiate.read_only import versions
from ssvae_cli.objective import Objective
from ssvae_cli.pairs.base import Pairs
from ssvae_cli.priors import Encoded
from ssvae_cli.tracking.missing import Missing

SPLITS = ("train", "validation", "test")
CHUNK = 512


class Reading:
    """Features, latents, labels and factors of every split, under the objective's current weights.

    Views and samples have a fixed seed for each split. untrained: that of the objective before training, None if
    unknown. density: how densities of latents are fitted. noise: a standard deviation by which a deterministic
    encoder's z is smoothed, None for none. estimates: of earlier metrics by key.
    """

    def __init__(
        self,
        objective: Objective,
        pairs: Pairs,
        data: Data,
        *,
        fitting_pairs: int,
        density: DensityFit,
        noise: float | None = None,
        untrained: Objective | None = None,
    ):
        self.objective, self.pairs, self.data = objective, pairs, data
        self.fitting_pairs, self.density, self.noise = fitting_pairs, density, noise
        same = {"pairs": pairs, "data": data, "fitting_pairs": fitting_pairs, "density": density}
        self.untrained = None if untrained is None else Reading(untrained.eval(), **same)
        self.shapes = pairs.shapes(data)
        self.shape = self.shapes[0]
        self.device = next(objective.parameters()).device
        self.estimates: dict[str, float | Estimate | Enclosed | Missing] = {}
        self._answers: dict[Hashable, tuple[Any, tuple[int, ...]]] = {}  # each with its tensors' versions

    def once(self, key: Hashable, answer: Callable[[], Any]) -> Any:
        """answer(), computed at the first call with this key only; for all, also where who asks first is in
        inference mode, whose tensors have no gradient and no version."""
        if key not in self._answers:
            with torch.inference_mode(False), torch.set_grad_enabled(torch.is_grad_enabled()):
                value = answer()
            self._answers[key] = value, versions(value)
        return self._answers[key][0]

    def is_written_to(self) -> bool:
        """Whether what is computed once, features or latents, was changed by who read it."""
        return any(versions(value) != before for value, before in self._answers.values())

    def generator(self, split: str) -> torch.Generator:
        """A new generator of evaluation's views and samples of a split, at its fixed seed."""
        return torch.Generator(self.device).manual_seed(seeds.VIEWS[split])

    def features(self, split: str) -> Tensor:
        """The features of the clean x of a split, for probes, [N, F]."""
        return self._represented(split)[0]

    def codes(self, split: str) -> Tensor:
        """The posterior's mean of the clean x of a split, [N, D]."""
        return self._represented(split)[1]

    @torch.no_grad()
    def factors(self, split: str) -> Tensor:
        """The known factors of the clean x of a split, [N, F], in the columns of `data.factors`."""
        return torch.cat([self.pairs.factors(batch) for batch in self.data.splits[split].batches(CHUNK)])

    def labels(self, split: str) -> Tensor:
        """int64 [N], -1 where there is none; a copy."""
        return self.data.splits[split].y.to(self.device, copy=True)

    def has_labels(self) -> bool:
        """Whether the data have a label at all."""
        return any(bool((split.y >= 0).any()) for split in self.data.splits.values())

    def too_few_classes(self, split: str, fitted: tuple[str, ...] = SPLITS[:2]) -> Missing | None:
        """Why an accuracy on a split says nothing; fitted: the splits whose labels are used besides."""
        return too_few_classes({part: self.labels(part) for part in (*fitted, split)}, split)

    def latents(self, split: str, views: int = 1, at_most: int | None = None) -> tuple[Tensor, ...]:
        """(z, z') or (z,) of `views` pairs of views per x, [views * N, D] each; of `at_most` evenly spaced x."""
        return self._sampled(split, views, at_most)[0]

    @torch.no_grad()
    def encoded(self, data: Split, generator: torch.Generator) -> Iterator[tuple[Encoded, Tensor]]:
        """One pair of views of every source, encoded, and the first view; in chunks of about equal size."""
        for batch in data.batches(math.ceil(len(data) / math.ceil(len(data) / CHUNK))):
            views = self.pairs(batch, generator)
            encoded = self.objective.encode(*views, generator=generator)
            yield encoded if self.noise is None else smoothed(encoded, self.noise, generator), views[0]

    def is_stochastic(self) -> bool:
        """Whether Q(z|x) and Q(z'|x') are read as densities."""
        encoders = self.objective.encoders[: len(self.latents("test"))]
        return self.noise is not None or all(encoder.stochastic for encoder in encoders)

    def infinite_entropy(self) -> Missing | None:
        """Why the ELBO of a prior that contains entropies cannot be estimated, as train shows it."""
        if self.noise is not None:
            return None
        latents = lambda: self.latents("train", 1, self.fitting_pairs)
        find = lambda: infinite_entropy(self.objective, latents(), tuple(map(math.prod, self.shapes)))
        return self.once("infinite_entropy", find)

    def most_information(self) -> tuple[float, str]:
        """The most that I(z; z') can be, of n views their total correlation, and what it is."""
        known = self.pairs.mi(self.data)
        sources = sum(map(len, self.data.splits.values())) * self.pairs.places(self.data)
        if known is not None:
            return known, "I(x; x') of the data"
        others = len(self.objective.encoders) - 1
        times = f"{others} " if others > 1 else ""
        return max(1, others) * math.log(sources), f"{times}log {sources}, all that so many x show"

    def categories(self) -> Categories | None:
        """What test says of a prior of categories; None for another."""
        prior = self.objective.prior
        read = lambda: Categories(prior, self.latents("test"), self.objective.joint)
        return self.once("categories", read) if prior.space is Simplex else None

    def explicit(self) -> Explicit | Missing:
        """What test says of an explicit prior: of log P, and of log Q by densities and by mixtures of posteriors."""
        return self.once("explicit", self._explicit)

    def _explicit(self) -> Explicit | Missing:
        sizes = {name: len(split) for name, split in self.data.splits.items()}
        least = {"train": LEAST, "validation": 2, "test": 2}
        few = [too_few_pairs({name: size}, least[name]) for name, size in sizes.items()]
        if fault := next(filter(None, few), None) or self.infinite_entropy():
            return fault
        encoded = [e for e, _ in self.encoded(self.data.test, self.generator("test"))]
        latents = tuple(_finite(torch.cat(side), "latent") for side in zip(*(e.latents for e in encoded)))
        fitting = (self.fitting_latents(split) for split in ("train", "validation"))
        sources = min(sizes["train"], self.fitting_pairs)
        densities = Densities(self.density, self.objective.prior.space, *fitting, latents, sources)
        anchors = evenly_spaced(sizes["test"], ANCHORS, self.device)
        mixture = PosteriorMixture(encoded, anchors) if self.is_stochastic() else None
        return Explicit(self.objective.prior, latents, densities, mixture, self.objective.joint)

    def explained(self, split: str) -> Tensor | None:
        """The variance of the posteriors' means over that of z, of each coordinate, [D]: 0 where they ignore x. None
        for a deterministic encoder."""
        means = self.means(split)
        if means is None or len(means) < 2:
            return None
        return means.double().var(0) / self.latents(split)[0].double().var(0)

    def means(self, split: str) -> Tensor | None:
        """The means of the Q(z|x) that z of `latents` were drawn from, [N, D]; None for a deterministic encoder."""
        return self._sampled(split)[1]

    def fitting_latents(self, split: str) -> tuple[Tensor, ...]:
        """The latents that densities and critics are fitted to (train) or chosen on (validation)."""
        views = max(1, self.fitting_pairs // len(self.data.train))
        return self.latents(split, views, self.fitting_pairs)

    def raw(self, split: str) -> Tensor:
        """The clean x of a split themselves, [N, prod(shape)]: a baseline of the probe where they are small."""
        return _finite(torch.cat([x.flatten(1) for x in self._clean(split)]), "pixel")

    def _clean(self, split: str) -> Iterator[Tensor]:
        """The clean x of a split, in chunks."""
        return map(self.pairs.clean, self.data.splits[split].batches(CHUNK))

    def _represented(self, split: str) -> tuple[Tensor, Tensor]:
        """The features and the posterior's mean of the clean x of a split."""
        return self.once(("represented", split), lambda: self._represent(split))

    @torch.no_grad()
    def _represent(self, split: str) -> tuple[Tensor, Tensor]:
        features, codes = map(torch.cat, zip(*map(self.objective.represented, self._clean(split))))
        return _finite(features, "feature"), _finite(codes, "latent")

    def _sampled(
        self, split: str, views: int = 1, at_most: int | None = None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """`latents` and `means`."""
        return self.once(("latents", split, views, at_most), lambda: self._latents(split, views, at_most))

    @torch.no_grad()
    def _latents(self, split: str, views: int, at_most: int | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        images, generator, rows, means = self.data.splits[split], self.generator(split), [], []
        if at_most is not None and len(images) > at_most:
            images = images.rows(evenly_spaced(len(images), at_most, self.device))
        for _ in range(views):
            for encoded, _ in self.encoded(images, generator):
                rows.append(encoded.latents)
                means += [encoded.posteriors[0].mean] * self.objective.encoder.stochastic
        latents = tuple(_finite(torch.cat(side), "latent") for side in zip(*rows))
        return latents, torch.cat(means) if means else None


def _finite(z: Tensor, what: str) -> Tensor:
    """z, [N, D]; raises UserError if it is not finite, because the weights diverged in the last training steps."""
    require(bool(z.isfinite().all()), f"training diverged: a {what} is not finite when evaluated; lower optimizer.lr")
    return z
