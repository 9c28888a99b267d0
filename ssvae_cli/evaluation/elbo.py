"""The ELBO, bounds of I and the evidence, evaluated the same way for every run."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Split, evenly_spaced
from ssvae_cli.errors import PartError, UserError, require_at_least
from ssvae_cli.estimators import DV, NWJ, InfoNCE
from ssvae_cli.evaluation.estimate import INTERVAL, Z95, Enclosed, Estimate, error_of_groups, too_few_pairs
from ssvae_cli.evaluation.explicit import Explicit
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.priors import Encoded, ScorePrior
from ssvae_cli.priors.scored import Marginals
from ssvae_cli.scores.fresh import FreshScores
from ssvae_cli.tracking.missing import Missing

log = logging.getLogger(__name__)
BOUNDS = (InfoNCE(), DV(), NWJ())
KEYS = (
    *(f"elbo/test{end}" for end in INTERVAL),
    "evidence/test",
    *(f"mi/{bound.name}{end}/test" for end in ("", "/ceiling") for bound in BOUNDS),
)


@dataclass(frozen=True, kw_only=True)
class ELBO:
    """`elbo`, `evidence` (Eq. 14), the bounds `mi/infonce`, `mi/dv`, `mi/nwj` and their ceilings, in nats.

    The ELBO on test has its standard error and the ends of an interval of 95%. For a prior whose ELBO contains
    entropies it is read by densities fitted to train and, of a stochastic encoder, by mixtures of posteriors; on
    validation it is the training estimator's, without evidence.
    """

    anchors: int  # pairs scored against all n sources, at most
    evidence_samples: int  # of each stochastic posterior

    def __post_init__(self):
        require_at_least(1, anchors=self.anchors, evidence_samples=self.evidence_samples)

    @torch.no_grad()
    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        prior, decoder = reading.objective.prior, reading.objective.decoder
        none = Missing(prior.no_elbo) if prior.no_elbo else None
        alone = none or too_few_pairs({split: len(reading.data.splits[split])})
        if decoder is not None:
            elbo, values = self._of_decoder(reading, split)
        elif not prior.needs_densities:
            bounds = [f"mi/{bound.name}" for bound in BOUNDS]
            scored = lambda: self._of_scores(reading, split)
            elbo, values = (alone, dict.fromkeys(["evidence", *bounds], alone)) if alone else scored()
        elif split == "test" and (categories := reading.categories()):
            elbo, values = categories.elbo(), {"evidence": categories.evidence()}
        elif split == "test":
            elbo, values = self._of_explicit(reading)
        else:
            elbo, values = alone or self._of_estimator(reading, split), {}
        keys = ["evidence", *(f"mi/{bound.name}{end}" for end in ("", "/ceiling") for bound in BOUNDS)]
        values = {f"{key}/{split}": values.get(key) for key in keys}
        if split != "test":
            reading.estimates["elbo/validation"] = value = elbo.value if isinstance(elbo, Enclosed) else elbo
            return {f"elbo/{split}": value} | values
        elbo = Enclosed.lacking(elbo) if isinstance(elbo, Missing) else elbo
        reading.estimates["elbo/test"] = elbo
        return elbo.named("elbo/test") | values

    def _of_estimator(self, reading: Reading, split: str) -> float | Missing:
        """The ELBO of the training estimator, a chunk at a time; Missing where the estimator refuses so few rows."""
        if not reading.objective.estimates_elbo:
            return Missing(f"estimator={reading.objective.estimator.name} estimates no ELBO")
        data = reading.data.splits[split]
        chunks = [encoded for encoded, _ in reading.encoded(data, reading.generator(split))]
        try:
            return sum(len(c.latents[0]) * reading.objective.elbo(c).item() for c in chunks) / len(data)
        except PartError:
            raise
        except UserError as error:
            return Missing(f"on {split}, {error}")

    def _of_explicit(self, reading: Reading) -> tuple[Enclosed | Missing, dict[str, float | Missing]]:
        """A prior whose ELBO contains entropies; the evidence as far above the ELBO as the densities say."""
        explicit = reading.explicit()
        if isinstance(explicit, Missing):
            return explicit, {"evidence": explicit}
        objective = reading.objective
        limit = "that of a joint decoder" if objective.joint else "that of this prior"
        most, what = min((objective.largest_elbo, limit), reading.most_information())
        elbo = explicit.elbo().within(-math.inf, most, what)
        if isinstance(elbo.value, Missing):
            return elbo, {"evidence": elbo.value}
        log.info("%s", explicit.in_parts(elbo))
        return elbo, {"evidence": elbo.value + self._gap(reading, explicit)}

    def _gap(self, reading: Reading, explicit: Explicit) -> float:
        """The evidence less the ELBO, by the log ratios of further samples of the same posteriors."""
        if not reading.is_stochastic() or self.evidence_samples == 1:
            return 0.0
        generator, rows = reading.generator("test"), []
        for encoded, _ in reading.encoded(reading.data.test, generator):
            rows.append(torch.stack([explicit.log_weight(z) for z in self._samples_of(encoded, generator)]))
        log_weights = torch.cat(rows, 1)
        return evidence(log_weights) - log_weights.mean().item()

    def _of_decoder(self, reading: Reading, split: str) -> tuple[Enclosed, dict[str, float]]:
        """The ordinary VAE: log P(x, z) / Q(z|x), whose mean is its ELBO (Eq. 1)."""
        objective, generator, rows = reading.objective, reading.generator(split), []
        for encoded, view in reading.encoded(reading.data.splits[split], generator):
            unit, samples = reading.pairs.to_unit(view), self._samples_of(encoded, generator)
            log_p = [objective.prior.log_prob(z) + objective.decoder.log_likelihood(unit, z) for (z,) in samples]
            rows.append(torch.stack([p - encoded.posteriors[0].log_prob(z) for p, (z,) in zip(log_p, samples)]))
        log_weights = torch.cat(rows, dim=1)
        return enclosed(Estimate.of_mean(log_weights.mean(0))), {"evidence": evidence(log_weights)}

    def _of_scores(self, reading: Reading, split: str) -> tuple[Enclosed | float, dict[str, float]]:
        """Positives are pairs of views; the partition averages fresh views of all n sources, the anchor's included.

        Where the views of a source depend on each other, as steps of a sequence do, the pair itself stands for its
        source: a view of it at another time is like any other source's, and the ELBO could exceed log n."""
        data, generator, prior = reading.data.splits[split], reading.generator(split), reading.objective.prior
        n = len(data)
        own = evenly_spaced(n, self.anchors, generator.device)
        sources = self._samples(reading, data, generator)[0]
        dependent = reading.pairs.places(reading.data) > 1
        ratios, influences, bounds = [], [], {f"mi/{bound.name}": [] for bound in BOUNDS}
        for latents in self._samples(reading, data.rows(own), generator):
            if dependent:
                sources = tuple(view.index_copy(0, own, pair) for view, pair in zip(sources, latents, strict=True))
            held_out = prior.read(latents, Marginals(sources, own))
            ratios.append(held_out.log_ratio)
            if split == "test":  # validation is read often, and without an error
                influences.append(influence(prior, held_out.scores, n))
            for bound in BOUNDS:
                of_stars = [sum(bound(scores) for scores in star) for star in held_out.scores]
                bounds[f"mi/{bound.name}"].append(torch.stack(of_stars).mean())
        log_ratio = torch.stack(ratios)  # [samples, anchors, pairs]
        values = {"evidence": evidence(log_ratio.flatten(1))}
        values |= {key: torch.stack(v).mean().item() for key, v in bounds.items()}
        ceilings = {f"mi/{bound.name}/ceiling": (len(sources) - 1) * bound.ceiling(n) for bound in BOUNDS}
        values |= {key: nats for key, nats in ceilings.items() if math.isfinite(nats)}
        value = log_ratio.mean().item()
        if split != "test":
            return value, values
        return enclosed(Estimate(value, error_of_influence(torch.stack(influences).mean(0), len(own)))), values

    def _samples(self, reading: Reading, data: Split, generator: torch.Generator) -> list[tuple[Tensor, ...]]:
        """Latents of every pair of views, [n, D] each, for each sample of the same posteriors."""
        chunks = [self._samples_of(encoded, generator) for encoded, _ in reading.encoded(data, generator)]
        return [tuple(torch.cat(side) for side in zip(*sample)) for sample in zip(*chunks)]

    def _samples_of(self, encoded: Encoded, generator: torch.Generator) -> list[tuple[Tensor, ...]]:
        """The encoded latents, and further samples of stochastic posteriors."""
        more = self.evidence_samples - 1 if any(q.stochastic for q in encoded.posteriors) else 0
        return [encoded.latents, *(tuple(q.sample(generator) for q in encoded.posteriors) for _ in range(more))]


def enclosed(estimate: Estimate) -> Enclosed:
    """An ELBO without error but that of sampling."""
    value, error = estimate
    return Enclosed(value, error, value - Z95 * error, value + Z95 * error)


@torch.enable_grad()
def influence(prior: ScorePrior, stars: Sequence[Sequence[FreshScores]], count: int) -> Tensor:
    """How the ELBO changes with the weights of the sources, [count], each both an anchor and a candidate of others: a
    partition over the sources varies with them too, and does so together with the mean over the anchors."""
    log_weights = stars[0][0].table.new_zeros(count, requires_grad=True)

    def gradient(scores: FreshScores) -> Tensor:  # of one table at a time, which are as large as all that is read
        share = log_weights[scores.own].softmax(0)
        elbo = share @ prior.log_ratio(scores.weighted(log_weights))
        return torch.autograd.grad(elbo, log_weights)[0]

    return sum(gradient(scores) for star in stars for scores in star) / len(stars)


def error_of_influence(influence: Tensor, anchors: int) -> float:
    """The standard error of what so many anchors read, from the influence of each source, [n] (infinitesimal
    jackknife)."""
    count = len(influence)
    return error_of_groups((influence.square().sum() * count / (count - 1)).sqrt().item(), anchors)


def evidence(log_weights: Tensor) -> float:
    """E log 1/K sum_k w_k of K samples of the posteriors, [K, B]: a lower bound of log P(x, x')."""
    return (log_weights.logsumexp(0) - math.log(len(log_weights))).mean().item()
