"""A normalised density of latents in any space: candidates of several kinds, weighted by validation."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.distributions.spaces import SPACES, Space
from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.densities.autoregressive import Autoregressive, best_start
from ssvae_cli.evaluation.densities.clusters import Clusters
from ssvae_cli.evaluation.densities.directions import Directions
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.samples import Pairs

LogDensity = Callable[[Tensor, Tensor], Tensor]  # context [B, dc], y [B, D] -> log q(y | context), [B], nats
SAMPLES_A_CLUSTER = 20  # at least
WEIGHTING = 50  # iterations in which the candidates' weights settle


@dataclass(frozen=True, kw_only=True)
class DensityFit:
    """Settings of the fit of log q(y | c) to samples of pairs (c, y).

    Candidates in R^D: an autoregressive mixture of normals that starts as a shrunk normal, and clusters. Latents on the
    sphere and in the box are mapped to R^D; on the sphere von Mises-Fisher mixtures are further candidates. q is their
    mixture with the weights that validation likes best, so it is normalised and E -log q is at least H on held-out
    samples.
    """

    hidden: int  # width of both hidden layers
    components: int  # normal components of a coordinate
    clusters: list[int]  # numbers of clusters that are tried
    training: Fit

    def __post_init__(self):
        require_at_least(1, hidden=self.hidden, components=self.components, clusters=min(self.clusters, default=1))

    def __call__(self, train: Pairs, validation: Pairs, space: type[Space], seed: int = 0) -> LogDensity:
        """log q(y | c), fitted to train; c: [N, dc], dc = 0 for none, y: [N, D], both latents of `space`."""
        with own_stream(seed, train.y.device):
            generator = torch.Generator().manual_seed(seed)
            mapped, held_out = (in_euclidean(pairs, space)[0] for pairs in (train, validation))
            with torch.enable_grad():
                candidates = list(self._candidates(mapped, held_out, space, generator))
            rated = torch.stack([candidate(*held_out).double() for candidate in candidates], 1)
        weights = mixture_weights(rated)

        @torch.no_grad()
        def log_q(context: Tensor, y: Tensor) -> Tensor:
            with own_stream(seed + 1, y.device):
                pairs, log_volume = in_euclidean(Pairs(context, y), space)
            of_each = torch.stack([candidate(*pairs).double() for candidate in candidates], 1)
            return (of_each.nan_to_num(-math.inf) + weights).logsumexp(1) + log_volume

        return log_q

    def _candidates(
        self, train: Pairs, validation: Pairs, space: type[Space], generator: torch.Generator
    ) -> Iterator[nn.Module]:
        """Densities of y given c in R^D."""
        sizes = {"hidden": self.hidden, "components": self.components}
        yield self._trained(best_start(train, validation, sizes), train, validation, generator)
        least = SAMPLES_A_CLUSTER
        for number in self.clusters:
            if len(train.y) > max(least * number, 2 * sum(side.shape[1] for side in train)):
                yield Clusters.fitted(train, validation, components=number, generator=generator)
        for number in (1, *self.clusters[-1:]) if space is SPACES["sphere"] else ():
            if len(train.y) > least * number:
                directions = Directions(*train, components=number, generator=generator)
                yield self._trained(directions, train, validation, generator)

    def _trained(
        self, density: Autoregressive | Directions, train: Pairs, validation: Pairs, generator: torch.Generator
    ) -> nn.Module:
        """The density after each of its stages has been trained."""
        with torch.no_grad():
            rows, held_out = (density.prepared(*pairs) for pairs in (train, validation))
        of_batch = lambda batch: density.log_density(batch.x).mean()
        of_validation = lambda: density.log_density(held_out).mean().item()
        for parameters in density.stages():
            density.requires_grad_(False)
            for parameter in parameters:
                parameter.requires_grad_(True)
            self.training(density, of_batch, Pairs(rows, rows[:, :0]), of_validation, generator)
        return density


def in_euclidean(pairs: Pairs, space: type[Space]) -> tuple[Pairs, Tensor]:
    """The pairs in R^D, and what is added to a log density of y there."""
    context = space.unbounded(pairs.x)[0] if pairs.x.shape[1] else pairs.x
    y, log_volume = space.unbounded(pairs.y)
    return Pairs(context, y), log_volume


def mixture_weights(log_densities: Tensor) -> Tensor:
    """The log weights, [K], of the mixture of K densities that is most likely on samples, [N, K]."""
    log_densities = log_densities.nan_to_num(-math.inf)
    log_weights = torch.full_like(log_densities[0], -math.log(log_densities.shape[1]))
    for _ in range(WEIGHTING):
        log_weights = (log_densities + log_weights).log_softmax(1).logsumexp(0) - math.log(len(log_densities))
    return log_weights
