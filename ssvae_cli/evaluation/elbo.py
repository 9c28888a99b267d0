"""The ELBO, the MI bounds and the evidence of a trained objective, evaluated the same way for every run.

Positives are pairs of views; the partition averages over fresh views of all n sources of the split, the
anchor's own with its weight 1/n. At most ANCHORS pairs, evenly spread, are scored against all n sources.
"""

import math

import torch
from torch import Tensor

from ssvae_cli.estimators.dv import DV
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.estimators.nwj import NWJ
from ssvae_cli.priors.base import ScorePrior

ANCHORS = 1024
EVIDENCE_SAMPLES = 16  # posterior samples a pair, for the evidence; one is enough when Q(z|x) is a delta
CHUNK = 512
BOUNDS = (InfoNCE(), DV(), NWJ())
BOUND_KEYS = [f"mi/{b.name}" for b in BOUNDS]


@torch.no_grad()
def evaluate(objective, pairs, x: Tensor, generator: torch.Generator, ratio=None) -> dict[str, float | None]:
    """`elbo`, `evidence`, `mi/<bound>`, their ceilings and `kl`, in nats; null where a number does not apply.

    x: uint8 [n, C, H, W] on the objective's device. ratio: a function z -> log P(z) / Q(z), [B, D] -> [B],
    for a prior that has no scores.
    """
    if isinstance(objective.prior, ScorePrior):
        return _from_scores(objective, pairs, x, generator)
    return _from_ratio(objective, pairs, x, generator, ratio)


def _posteriors(objective, pairs, x, generator):
    """The posteriors of one pair of views of every source, a chunk at a time."""
    for chunk in x.split(CHUNK):
        view, view_prime = pairs(chunk, generator)
        yield objective.encode(view, view_prime, generator), pairs.to_unit(view)


def _samples(objective, pairs, x, generator) -> list[tuple[Tensor, Tensor]]:
    """(z, z') of every pair of views, [n, D] each: EVIDENCE_SAMPLES times from one pair of posteriors each."""
    drawn: list[list[tuple[Tensor, Tensor]]] = []
    repeats = EVIDENCE_SAMPLES if objective.encoder.stochastic or objective.encoder_prime.stochastic else 1
    for encoded, _ in _posteriors(objective, pairs, x, generator):
        first = (encoded.z, encoded.z_prime)
        again = [
            (encoded.posterior.sample(generator), encoded.posterior_prime.sample(generator)) for _ in range(repeats - 1)
        ]
        drawn.append([first, *again])
    return [tuple(torch.cat(side) for side in zip(*sample)) for sample in zip(*drawn)]


def _from_scores(objective, pairs, x, generator):
    n = len(x)
    own = torch.linspace(0, n - 1, min(n, ANCHORS), device=x.device).round().long()
    fresh = _samples(objective, pairs, x, generator)[0]
    samples = _samples(objective, pairs, x[own], generator)
    weights = []  # log P(z, z') / Q(z) Q(z'), a row a sample: [K, directions * B]
    bounds: dict[str, list[Tensor]] = {key: [] for key in BOUND_KEYS}
    for z, z_prime in samples:
        scored = objective.prior.fresh_scores(z, z_prime, fresh, own)
        weights.append(torch.cat([objective.prior.log_ratio(s) for s in scored]))
        for bound in BOUNDS:
            bounds[f"mi/{bound.name}"].append(torch.stack([bound(s) for s in scored]).mean())
    log_weights = torch.stack(weights)
    values = {"elbo": log_weights.mean().item(), "evidence": _log_mean_exp(log_weights).mean().item(), "kl": None}
    values |= {key: torch.stack(v).mean().item() for key, v in bounds.items()}
    return values | {f"{key}/ceiling": b.ceiling(n) for key, b in zip(BOUND_KEYS, BOUNDS)}


def _from_ratio(objective, pairs, x, generator, ratio):
    repeats = EVIDENCE_SAMPLES if objective.encoder.stochastic else 1
    rows = []
    for encoded, unit in _posteriors(objective, pairs, x, generator):
        samples = [encoded.z, *(encoded.posterior.sample(generator) for _ in range(repeats - 1))]
        if objective.decoder is None:
            rows.append(torch.stack([ratio(z) for z in samples]))
        else:
            prior, posterior, decoder = objective.prior, encoded.posterior, objective.decoder
            rows.append(
                torch.stack(
                    [decoder.log_likelihood(unit, z) + prior.log_prob(z) - posterior.log_prob(z) for z in samples]
                )
            )
    log_weights = torch.cat(rows, dim=1)
    elbo = log_weights.mean().item()
    nothing = dict.fromkeys([*BOUND_KEYS, *(f"{key}/ceiling" for key in BOUND_KEYS)])
    kl = -elbo if objective.decoder is None else None  # Eq. 9
    return {"elbo": elbo, "evidence": _log_mean_exp(log_weights).mean().item(), "kl": kl, **nothing}


def _log_mean_exp(rows: Tensor) -> Tensor:
    """[K, B] -> [B]."""
    return rows.logsumexp(0) - math.log(len(rows))
