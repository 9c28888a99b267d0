"""The ELBO, the MI bounds and the evidence of a trained objective, evaluated the same way for every run.

Positives are pairs of views; the partition averages over fresh views of all n sources of the split, the
anchor's own with its weight 1/n. At most ANCHORS pairs, evenly spread, are scored against all n sources.
"""

import math

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Split
from ssvae_cli.estimators.dv import DV
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.estimators.nwj import NWJ
from ssvae_cli.evaluation.spread import spread
from ssvae_cli.priors.base import ScorePrior

ANCHORS = 1024
EVIDENCE_SAMPLES = 16  # posterior samples a pair, for the evidence; one is enough when Q(z|x) is a delta
CHUNK = 512
BOUNDS = (InfoNCE(), DV(), NWJ())
BOUND_KEYS = [f"mi/{b.name}" for b in BOUNDS]


@torch.no_grad()
def evaluate(objective, pairs, split: Split, generator: torch.Generator, log_q=None) -> dict[str, float | None]:
    """`elbo`, its `error`, `evidence`, `mi/<bound>` and their ceilings, in nats; null where a number does not apply.

    error: the ELBO's standard error over pairs. split: n sources on the objective's device. log_q: for an explicit
    prior, log Q of each of its latents, functions [B, D] -> [B]; without them the ELBO is the training
    estimator's, and there is no evidence.
    """
    if isinstance(objective.prior, ScorePrior):
        return _from_scores(objective, pairs, split, generator)
    values = dict.fromkeys(["elbo", "error", "evidence", *BOUND_KEYS, *(f"{key}/ceiling" for key in BOUND_KEYS)])
    if objective.decoder is None and log_q is None:
        chunks = [encoded for encoded, _ in _encoded(objective, pairs, split, generator)]
        total = sum(len(c.z) * objective.prior.elbo(objective.estimator, c).item() for c in chunks)
        return values | {"elbo": total / len(split)}
    rows = []
    for encoded, unit in _encoded(objective, pairs, split, generator):
        samples = [encoded.latents, *(_again(encoded, generator) for _ in range(_repeats(objective) - 1))]
        rows.append(torch.stack([_log_weight(objective, encoded, unit, latents, log_q) for latents in samples]))
    log_weights = torch.cat(rows, dim=1)
    return values | _of_weights(log_weights, log_weights.mean(0))


def _of_weights(log_weights: Tensor, of_pairs: Tensor) -> dict[str, float]:
    """log_weights: [K, B], K samples of the posteriors; of_pairs: [B], the ELBO of each pair of views."""
    return {
        "elbo": of_pairs.mean().item(),
        "error": of_pairs.std().item() / math.sqrt(len(of_pairs)) if len(of_pairs) > 1 else math.nan,
        "evidence": _log_mean_exp(log_weights).mean().item(),
    }


def _log_weight(objective, encoded, unit, latents, log_q) -> Tensor:
    """log of P(x, x', z, z') / Q(z, z'|x, x') up to log P_true, [B]; its mean is the ELBO (Eqs. 1, 17)."""
    log_p = objective.prior.log_prob(*latents)
    if objective.decoder is None:
        return log_p - sum(log(z) for log, z in zip(log_q, latents))
    (z,) = latents
    return log_p + objective.decoder.log_likelihood(unit, z) - encoded.posterior.log_prob(z)


def _encoded(objective, pairs, split, generator):
    """One pair of views of every source, encoded, and the first view in [0, 1]; a chunk at a time."""
    chunks = math.ceil(len(split) / CHUNK)
    for batch in split.batches(math.ceil(len(split) / chunks)):  # about equal: estimators read a chunk at a time
        view, view_prime = pairs(batch, generator)
        yield objective.encode(view, view_prime, generator), pairs.to_unit(view)


def _again(encoded, generator) -> tuple[Tensor, ...]:
    return tuple(posterior.sample(generator) for posterior in encoded.posteriors)


def _repeats(objective) -> int:
    stochastic = objective.encoder.stochastic or objective.encoder_prime.stochastic
    return EVIDENCE_SAMPLES if stochastic else 1


def _samples(objective, pairs, split, generator) -> list[tuple[Tensor, Tensor]]:
    """(z, z') of every pair of views, [n, D] each: EVIDENCE_SAMPLES times from one pair of posteriors each."""
    drawn: list[list[tuple[Tensor, ...]]] = []
    for encoded, _ in _encoded(objective, pairs, split, generator):
        drawn.append([encoded.latents, *(_again(encoded, generator) for _ in range(_repeats(objective) - 1))])
    return [tuple(torch.cat(side) for side in zip(*sample)) for sample in zip(*drawn)]


def _from_scores(objective, pairs, split, generator):
    n = len(split)
    own = spread(n, ANCHORS, generator.device)
    fresh = _samples(objective, pairs, split, generator)[0]
    samples = _samples(objective, pairs, split.rows(own), generator)
    weights = []  # log P(z, z') / Q(z) Q(z'), a row a sample: [K, directions * B]
    bounds: dict[str, list[Tensor]] = {key: [] for key in BOUND_KEYS}
    for z, z_prime in samples:
        scored = objective.prior.fresh_scores(z, z_prime, fresh, own)
        weights.append(torch.cat([objective.prior.log_ratio(s) for s in scored]))
        for bound in BOUNDS:
            bounds[f"mi/{bound.name}"].append(torch.stack([bound(s) for s in scored]).mean())
    log_weights = torch.stack(weights)
    values = _of_weights(log_weights, log_weights.mean(0).unflatten(0, (-1, len(own))).mean(0))
    values |= {key: torch.stack(v).mean().item() for key, v in bounds.items()}
    ceilings = ((key, bound.ceiling(n)) for key, bound in zip(BOUND_KEYS, BOUNDS))
    return values | {f"{key}/ceiling": most if math.isfinite(most) else None for key, most in ceilings}


def _log_mean_exp(rows: Tensor) -> Tensor:
    """[K, B] -> [B]."""
    return rows.logsumexp(0) - math.log(len(rows))
