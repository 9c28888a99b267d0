"""The ELBO, bounds of I and the evidence, evaluated the same way for every run."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import PartError, UserError, require_at_least
from ssvae_cli.estimators import DV, NWJ, InfoNCE
from ssvae_cli.evaluation.densities import LogDensity, RatioFit
from ssvae_cli.evaluation.estimate import Estimate, too_few_pairs
from ssvae_cli.evaluation.reading import CHUNK, Reading
from ssvae_cli.evaluation.rows import evenly_spaced
from ssvae_cli.priors import Encoded
from ssvae_cli.tracking.missing import Missing

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
    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        prior, decoder = reading.objective.prior, reading.objective.decoder
        alone = too_few_pairs({split: len(reading.data.splits[split])})
        if decoder is not None:
            values = self._of_decoder(reading, split)
        elif not prior.needs_densities:
            bounds = [f"mi/{bound.name}" for bound in BOUNDS]
            scored = lambda: self._of_pairs(reading, split, ())
            values = dict.fromkeys(["elbo", "evidence", *bounds], alone) if alone else scored()
        elif split == "test":
            values = self._of_densities(reading, split)
        else:
            values = {"elbo": alone or self._of_estimator(reading, split)}
        keys = ["elbo", "evidence", *(f"mi/{bound.name}{end}" for end in ("", "/ceiling") for bound in BOUNDS)]
        if isinstance(values["elbo"], Missing):
            reading.estimates[f"elbo/{split}"] = values["elbo"]
        return {f"{key}/{split}": values.get(key) for key in keys}

    def _of_estimator(self, reading: Reading, split: str) -> float | Missing:
        """The ELBO of the training estimator, a chunk at a time; Missing where the estimator refuses so few rows."""
        data = reading.data.splits[split]
        chunks = [encoded for encoded, _ in _encoded(reading, data, reading.generator())]
        try:
            return sum(len(c.z) * reading.objective.elbo(c).item() for c in chunks) / len(data)
        except PartError:
            raise
        except UserError as error:
            return Missing(f"on {split}, {error}")

    def _of_densities(self, reading: Reading, split: str) -> dict[str, float | Missing]:
        """A prior whose ELBO contains entropies: densities fitted to train, chosen on validation."""
        if fault := reading.infinite_entropy():
            return {"elbo": fault, "evidence": fault}
        train, validation = (reading.fitting_latents(part) for part in ("train", "validation"))
        space = reading.objective.prior.space
        return self._of_pairs(reading, split, [self.density.density(*side, space) for side in zip(train, validation)])

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

    def _of_weights(
        self, reading: Reading, split: str, log_weights: Tensor, of_pairs: Tensor
    ) -> dict[str, float | Missing]:
        """log_weights: [K, B], K samples of the posteriors; of_pairs: [B], the ELBO of each pair of views."""
        elbo, most = Estimate.of_mean(of_pairs), reading.objective.prior.largest_elbo
        if split == "test" and reading.objective.decoder is None and elbo.value > most + 3 * elbo.error:
            fault = f"it reads {elbo.value:.2f} nats, above the maximum of {most:g} under this prior"
            fault = Missing(f"{fault}: the density of z was not learned; kl/test is from another classifier")
            return {"elbo": fault, "evidence": fault}
        reading.estimates[f"elbo/{split}"] = elbo
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
