"""A normalised density of latents in any space: candidates of several kinds, weighted by validation."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import evenly_spaced
from ssvae_cli.distributions.seeding import own_stream
from ssvae_cli.distributions.spaces import SPACES, Space
from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.densities.autoregressive import Autoregressive, best_start
from ssvae_cli.evaluation.densities.clusters import CHOOSING, Clusters
from ssvae_cli.evaluation.densities.directions import Directions
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.samples import Pairs

SAMPLES_A_CLUSTER = 20  # at least; in R^D also as many as coordinates
MOST_NUMBERS = 2e5  # in the covariances of all clusters: with more, they take as long as all other candidates together
WEIGHTING = 1000  # iterations in which the candidates' weights settle
TINY = 1e-300  # so that a sample that no candidate with a weight explains divides by more than 0
USED = 1e-3  # weight of a candidate from which a further fit has one of its kind
Candidate = tuple[str, int]  # a kind, and a number of clusters or of directions
Family = dict[int, Callable[[], nn.Module]]  # what fits a kind, by its size


class Density:
    """(context [B, dc], y [B, D]) -> log q(y | context), [B], nats: a mixture of candidates, by kind and size.

    log_weights: of the candidates, [K]. seed: of what a map to R^D draws."""

    def __init__(self, candidates: dict[Candidate, nn.Module], log_weights: Tensor, space: type[Space], seed: int):
        self.candidates, self.log_weights, self.space, self.seed = candidates, log_weights, space, seed

    @torch.no_grad()
    def __call__(self, context: Tensor, y: Tensor) -> Tensor:
        with own_stream(self.seed, y.device):
            pairs, log_volume = in_euclidean(Pairs(context, y), self.space)
        of_each = rated(self.candidates.values(), pairs).nan_to_num(-math.inf)
        return (of_each + self.log_weights).logsumexp(1) + log_volume

    def used(self) -> list[Candidate]:
        """The candidates that have a weight."""
        return [which for which, log_weight in zip(self.candidates, self.log_weights) if log_weight > math.log(USED)]


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
    clusters: list[int]  # numbers of clusters that are tried, as long as more are likelier
    training: Fit

    def __post_init__(self):
        require_at_least(1, hidden=self.hidden, components=self.components, clusters=min(self.clusters, default=1))

    def shortened(self, share: float) -> "DensityFit":
        """The same with a share of the training steps."""
        return replace(self, training=self.training.shortened(share))

    def __call__(
        self, train: Pairs, validation: Pairs, space: type[Space], seed: int = 0, like: Density | None = None
    ) -> Density:
        """log q(y | c), fitted to train; c: [N, dc], dc = 0 for none, y: [N, D], both latents of `space`.

        like: of more samples; only what it used is fitted, each size at most the largest that fewer samples allow.
        """
        with own_stream(seed, train.y.device):
            generator = torch.Generator().manual_seed(seed)
            mapped, held_out = (in_euclidean(pairs, space)[0] for pairs in (train, validation))
            families = self._families(mapped, held_out, space, generator)
            nearest = {} if like is None else {kind: _nearest(family, kind, like) for kind, family in families.items()}
            growing = not any(nearest.values())
            candidates = {}
            for kind, family in families.items() if growing else nearest.items():
                found = _fitted(family, held_out, growing=growing)
                candidates |= {(kind, size): of_size for size, of_size in found.items()}
        networks = {which: network for which, (network, _) in candidates.items()}
        weights = mixture_weights(torch.stack([log_p for _, log_p in candidates.values()], 1))
        return Density(networks, weights, space, seed + 1)

    def _families(
        self, train: Pairs, validation: Pairs, space: type[Space], generator: torch.Generator
    ) -> dict[str, Family]:
        """What fits a density of y given c in R^D, by kind, each by size."""
        sizes = {"hidden": self.hidden, "components": self.components}
        trained = lambda density: self._trained(density, train, validation, generator)
        of = lambda number: {"components": number, "generator": generator}
        dim = sum(side.shape[1] for side in train)
        clusters = {
            number: lambda number=number: Clusters.fitted(train, validation, **of(number))
            for number in self.clusters
            if len(train.y) > number * max(SAMPLES_A_CLUSTER, dim) and number * dim**2 <= MOST_NUMBERS
        }
        directions = {
            number: lambda number=number: trained(Directions(*train, **of(number)))
            for number in (1, *self.clusters)
            if space is SPACES["sphere"] and len(train.y) > SAMPLES_A_CLUSTER * number
        }
        step = {1: directions.pop(1)} if directions else {}  # one direction is no cluster
        start = {1: lambda: trained(best_start(train, validation, sizes))}
        return {"autoregressive": start, "clusters": clusters, "step": step, "directions": directions}

    def _trained(
        self, density: Autoregressive | Directions, train: Pairs, validation: Pairs, generator: torch.Generator
    ) -> nn.Module:
        """The density after each of its stages has been trained."""
        with torch.no_grad():
            chosen_on = validation.rows(evenly_spaced(len(validation.y), CHOOSING, validation.y.device))
            rows, held_out = (density.prepared(*pairs) for pairs in (train, chosen_on))
        of_batch = lambda batch: density.log_density(batch.x).mean()
        of_validation = lambda: density.log_density(held_out).mean().item()
        for parameters in density.stages():
            density.requires_grad_(False)
            for parameter in parameters:
                parameter.requires_grad_(True)
            self.training(density, of_batch, Pairs(rows, rows[:, :0]), of_validation, generator)
        return density


def _nearest(family: Family, kind: str, like: Density) -> Family:
    """The sizes of a kind that `like` used, each at most the largest of the family."""
    used = {min(size, max(family)) for of, size in like.used() if of == kind} if family else ()
    return {size: family[size] for size in sorted(used)}


def _fitted(family: Family, held_out: Pairs, *, growing: bool) -> dict[int, tuple[nn.Module, Tensor]]:
    """The candidates of one family; growing: only up to the first that is less likely than the last. Each with its log
    density of the pairs held out, [N]."""
    candidates, best = {}, -math.inf
    for size, fit in family.items():
        with torch.enable_grad():
            network = fit()
        log_p = rated([network], held_out).squeeze(1)
        candidates[size] = network, log_p
        value = log_p.mean().nan_to_num(-math.inf).item()
        if value < best and growing:
            break
        best = value
    return candidates


@torch.no_grad()
def rated(candidates: Iterable[nn.Module], pairs: Pairs) -> Tensor:
    """The log density of each candidate at pairs in R^D, [B, K]."""
    return torch.stack([candidate(*pairs).double() for candidate in candidates], 1)


def in_euclidean(pairs: Pairs, space: type[Space]) -> tuple[Pairs, Tensor]:
    """The pairs in R^D, and what is added to a log density of y there."""
    context = space.unbounded(pairs.x)[0] if pairs.x.shape[1] else pairs.x
    y, log_volume = space.unbounded(pairs.y)
    return Pairs(context, y), log_volume


def mixture_weights(log_densities: Tensor) -> Tensor:
    """The log weights, [K], of the mixture of K densities that is most likely on samples, [N, K]."""
    largest = log_densities.nan_to_num(-math.inf).amax(1, keepdim=True).clamp_min(torch.finfo(log_densities.dtype).min)
    ratios = (log_densities.nan_to_num(-math.inf) - largest).exp()
    weights = torch.full_like(ratios[0], 1 / ratios.shape[1])
    for _ in range(WEIGHTING):
        weights = weights * ((1 / (ratios @ weights).clamp_min(TINY)) @ ratios) / len(ratios)
    return weights.log()
