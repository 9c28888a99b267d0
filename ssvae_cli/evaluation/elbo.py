"""The ELBO, bounds of I and the evidence, evaluated the same way for every run."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import require_at_least
from ssvae_cli.estimators import DV, NWJ, InfoNCE
from ssvae_cli.evaluation.degeneracy import warn_of_degeneracy
from ssvae_cli.evaluation.densities import LogDensity, RatioFit
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.reading import CHUNK, Reading
from ssvae_cli.evaluation.rows import evenly_spaced
from ssvae_cli.priors import Encoded

log = logging.getLogger(__name__)
BOUNDS = (InfoNCE(), DV(), NWJ())


class Views(NamedTuple):
    """Marginals: latents of fresh views of all sources, and densities if they were fitted."""

    sources: tuple[Tensor, ...]
    own: Tensor
    densities: Sequence[LogDensity] = ()

    def log_prob(self, side: int, z: Tensor) -> Tensor:
        return self.densities[side](z)


@dataclass(frozen=True, kw_only=True)
class ELBO:
    """`elbo`, `evidence` (Eq. 14), the bounds `mi/infonce`, `mi/dv`, `mi/nwj` and their ceilings, in nats.

    For a prior whose ELBO contains entropies, those on test are from densities fitted to train; on validation the ELBO
    is the training estimator's, without evidence.
    """

    anchors: int  # pairs scored against all n sources, at most
    evidence_samples: int  # of each stochastic posterior
    density: RatioFit  # how densities are fitted

    def __post_init__(self):
        require_at_least(1, anchors=self.anchors, evidence_samples=self.evidence_samples)

    @torch.no_grad()
    def __call__(self, reading: Reading, split: str) -> dict[str, float | None]:
        prior, decoder = reading.objective.prior, reading.objective.decoder
        if decoder is not None:
            values = self._of_decoder(reading, split)
        elif not prior.needs_densities:
            values = self._of_pairs(reading, split, ())
        elif split == "test":
            train, validation = (reading.fitting_latents(part) for part in ("train", "validation"))
            warn_of_degeneracy(reading.objective, train, math.prod(reading.shape))
            densities = [self.density.density(*side, prior.space) for side in zip(train, validation)]
            values = self._of_pairs(reading, split, densities)
        else:
            values = self._of_estimator(reading, split)
        keys = ["elbo", "evidence", *(f"mi/{bound.name}{end}" for end in ("", "/ceiling") for bound in BOUNDS)]
        return {f"{key}/{split}": values.get(key) for key in keys}

    def _of_estimator(self, reading: Reading, split: str) -> dict[str, float]:
        """The ELBO of the training estimator, a chunk at a time."""
        data = reading.data.splits[split]
        chunks = [encoded for encoded, _ in _encoded(reading, data, reading.generator())]
        return {"elbo": sum(len(c.z) * reading.objective.elbo(c).item() for c in chunks) / len(data)}

    def _of_decoder(self, reading: Reading, split: str) -> dict[str, float]:
        """The ordinary VAE: log P(x, z) / Q(z|x), whose mean is its ELBO (Eq. 1)."""
        objective, generator, rows = reading.objective, reading.generator(), []
        for encoded, unit in _encoded(reading, reading.data.splits[split], generator):
            samples = self._samples_of(encoded, objective, generator)
            log_p = [objective.prior.log_prob(z) + objective.decoder.log_likelihood(unit, z) for (z,) in samples]
            rows.append(torch.stack([p - encoded.posterior.log_prob(z) for p, (z,) in zip(log_p, samples)]))
        log_weights = torch.cat(rows, dim=1)
        return self._of_weights(reading, split, log_weights, log_weights.mean(0))

    def _of_pairs(self, reading: Reading, split: str, densities: Sequence[LogDensity]) -> dict[str, float | None]:
        """Positives are pairs of views; the partition averages fresh views of all n sources, the anchor's included."""
        data, generator, prior = reading.data.splits[split], reading.generator(), reading.objective.prior
        n = len(data)
        own = evenly_spaced(n, n if densities else self.anchors, generator.device)
        sources = () if densities else self._samples(reading, data, generator)[0]
        ratios, bounds = [], {f"mi/{bound.name}": [] for bound in BOUNDS}
        for latents in self._samples(reading, data.rows(own), generator):
            held_out = prior.read(latents, Views(sources, own, densities))
            ratios.append(held_out.log_ratio)
            for bound in BOUNDS if held_out.scores else ():
                bounds[f"mi/{bound.name}"].append(torch.stack([bound(s) for s in held_out.scores]).mean())
        log_ratio = torch.stack(ratios)  # [samples, directions, pairs]
        values = self._of_weights(reading, split, log_ratio.flatten(1), log_ratio.mean(0).mean(0))
        values |= {key: torch.stack(v).mean().item() for key, v in bounds.items() if v}
        ceilings = {f"mi/{bound.name}/ceiling": bound.ceiling(n) for bound in BOUNDS if bounds[f"mi/{bound.name}"]}
        return values | {key: nats for key, nats in ceilings.items() if math.isfinite(nats)}

    def _of_weights(self, reading: Reading, split: str, log_weights: Tensor, of_pairs: Tensor) -> dict[str, float]:
        """log_weights: [K, B], K samples of the posteriors; of_pairs: [B], the ELBO of each pair of views."""
        elbo = reading.estimates[f"elbo/{split}"] = Estimate.of_mean(of_pairs)
        most = reading.objective.prior.largest_elbo
        if split == "test" and reading.objective.decoder is None and elbo.value > most + 3 * elbo.error:
            log.warning(
                "elbo/test is %.2f nats, above the maximum of %g under this prior: the density of z was not learned; "
                "kl/test is from another classifier", elbo.value, most,
            )  # fmt: skip
        evidence = (log_weights.logsumexp(0) - math.log(len(log_weights))).mean().item()
        return {"elbo": elbo.value, "evidence": evidence}

    def _samples(self, reading: Reading, data: Split, generator: torch.Generator) -> list[tuple[Tensor, ...]]:
        """Latents of every pair of views, [n, D] each, for each sample of the same posteriors."""
        chunks = [self._samples_of(e, reading.objective, generator) for e, _ in _encoded(reading, data, generator)]
        return [tuple(torch.cat(side) for side in zip(*sample)) for sample in zip(*chunks)]

    def _samples_of(self, encoded: Encoded, objective, generator: torch.Generator) -> list[tuple[Tensor, ...]]:
        """The encoded latents, and further samples of stochastic posteriors."""
        more = self.evidence_samples - 1 if objective.is_stochastic else 0
        return [encoded.latents, *(tuple(q.sample(generator) for q in encoded.posteriors) for _ in range(more))]


def _encoded(reading: Reading, data: Split, generator: torch.Generator) -> Iterator[tuple[Encoded, Tensor]]:
    """One pair of views of every source, encoded, and the first view in [0, 1]; a chunk at a time."""
    chunks = math.ceil(len(data) / CHUNK)
    for batch in data.batches(math.ceil(len(data) / chunks)):  # of about equal size, as estimators read one at a time
        views = reading.pairs(batch, generator)
        yield reading.objective.encode(*views, generator), reading.pairs.to_unit(views[0])
