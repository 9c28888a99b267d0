"""Both sides of Eq. 23, L = I(z; z') - KL(Q(z, z') || P(z, z')), beside the ELBO that a run reports.

I is a bound by a fresh critic, the KL a classifier's, each fitted on training latents, stopped on validation and read
on test: neither is had from the ELBO, or from the other by subtraction, so that what is left over says something.
"""

import logging
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ssvae_cli.couplings import Separable
from ssvae_cli.estimators.infonce import InfoNCE as KWay
from ssvae_cli.evaluation.density import any_of, fit_density, fit_log_ratio
from ssvae_cli.evaluation.spread import spread
from ssvae_cli.mi.data import Pairs
from ssvae_cli.mi.training import Training
from ssvae_cli.priors.base import NoSamples, ScorePrior
from ssvae_cli.scores import DenseScores, FreshScores
from ssvae_cli.spaces import Euclidean
from ssvae_cli.streams import own_stream

log = logging.getLogger(__name__)

STEPS, BATCH, LR, CHECK_EVERY, PATIENCE = 300, 256, 3e-3, 50, 3  # of each fit; LR and what follows, of the critic
MOST = 20_000  # samples of P
SCORED = 4096  # test pairs that are scored against each other
FAR = 5  # standard errors between the two sides that want a word


class Estimate(NamedTuple):
    """A mean over pairs of distinct sources, nats, and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, rows: Tensor) -> "Estimate":
        return cls(rows.mean().item(), rows.std().item() / math.sqrt(len(rows)))


KEYS = ("mi/fresh/test", "kl/test", "kl/source", "eq23/residual", "eq23/residual_in_errors")


def both_sides(prior, elbo: Estimate, train, validation, test) -> dict[str, float | str]:
    """KEYS: I, the KL and its source, and I - KL less the ELBO, in nats and in standard errors; logged as a line.

    train, validation, test: latents (z, z') or (z,), [views * n, D] each, every source once, then once more, ...; of
    test, once. Under an unstructured prior there is no I, and the ELBO is -KL (Eq. 9). A prior that gives no samples of
    P has no KL, and no residual.
    """
    about_i = information(train, validation, test) if prior.views == 2 else None
    try:
        kl = divergence(prior, train, validation, test)
    except NoSamples:
        return dict.fromkeys(KEYS) | {KEYS[0]: about_i and about_i.value}
    source = "classifier" if prior.samplers(train) else "exact: P is Q"
    if kl.error == 0 and source == "classifier":  # it stayed where it started
        source = "classifier: found no difference"
    left = (about_i.value if about_i else 0.0) - kl.value
    errors = [e.error for e in (about_i, kl, elbo) if e is not None]
    residual, error = left - elbo.value, math.hypot(*errors)
    words = f"I {about_i.value:.3f} (a fresh critic's lower bound)" if about_i else "0"
    log.info(
        "Eq. %d on test, nats: %s - KL %.3f (%s) = %.3f, the ELBO %.3f: apart by %.3f, %.1f standard errors",
        23 if about_i else 9, words, kl.value, source, left, elbo.value, residual, residual / error,
    )  # fmt: skip
    if abs(residual) > FAR * error:
        log.info("so far apart, one of the three was fitted too little: see 'What the numbers mean' in README.md")
    return dict(zip(KEYS, (about_i and about_i.value, kl.value, source, residual, residual / error)))


@torch.no_grad()
def information(train, validation, test) -> Estimate:
    """I(z; z') by K-way InfoNCE of a fresh critic, K the test set's sources, at most SCORED: at most log K."""
    some = spread(len(test[0]), SCORED, test[0].device)
    test = [z[some] for z in test]  # a table of all pairs grows with their square
    means, stds = zip(*((z.mean(0), z.std(0).clamp_min(1e-6)) for z in train))
    scaled = [[(z - m) / s for z, m, s in zip(split, means, stds)] for split in (train, validation, test)]
    critic = _fit_critic(*(Pairs(*z) for z in scaled[:2]))
    own = torch.arange(len(test[0]), device=test[0].device)
    scores = FreshScores(critic.paired(*scaled[2]), critic(*scaled[2]), own)
    return Estimate.of(scores.positives - scores.log_partition(positive=True))


def _fit_critic(train: Pairs, validation: Pairs) -> Separable:
    with own_stream(0, train.x.device), torch.enable_grad():
        critic = Separable(latent_dim=train.x.shape[1], hidden=[256], embedding_dim=64).to(train.x)
        bound = lambda pairs: KWay()(DenseScores(critic(*pairs)))  # noqa: E731
        training = Training(steps=STEPS, batch_size=BATCH, lr=LR, eval_every=CHECK_EVERY, patience=PATIENCE)
        some = validation.rows(slice(BATCH))
        training.fit(critic, bound, train, lambda: bound(some).item(), torch.Generator().manual_seed(0))
    return critic


@torch.no_grad()
def divergence(prior, train, validation, test) -> Estimate:
    """KL(Q || P), the mean logit of a classifier between Q's latents and samples of P (Sec. 3.1); the mean over a score
    prior's directions, and 0 where P is Q.

    Low where the classifier finds too little. In R^D hardly a sample of P(z, z') falls where Q is; there the classifier
    faces a normal R with the moments of Q's pairs instead, and log R / P is had exactly.
    """
    joined = [torch.cat(split, 1) for split in (train, validation, test)]
    if prior.space is Euclidean and prior.views == 2 and not isinstance(prior, ScorePrior):
        return Estimate.of(fit_density(*joined[:2], prior.space, seed=1)(joined[2]) - prior.log_prob(*test))
    start = None if isinstance(prior, ScorePrior) else _by_moments(prior, train)
    mean, std = joined[0].mean(0), joined[0].std(0)
    std = std.clamp_min(1e-3 * std.max())
    rows = torch.zeros_like(joined[2][:, 0])
    directions = list(zip(*(prior.samplers(split) for split in (train, validation))))
    for samplers in directions:
        with own_stream(0, rows.device):
            p, held = (sample(like[:MOST]) for sample, like in zip(samplers, joined))
        drawn = (lambda like, p=p: any_of(p, len(like)), lambda like, held=held: held)
        lift = lambda z: (z - mean) / std  # noqa: E731
        log_ratio = fit_log_ratio(*joined[:2], drawn, steps=STEPS, seed=1, start=start, lift=lift)
        rows += log_ratio(joined[2]) / len(directions)
    return Estimate.of(rows)


def _by_moments(prior, train) -> Callable[[Tensor], Tensor]:
    """log Q / P where Q(z), and Q(z'), were the space's reference with Q's first moments: where a network starts."""
    to_reference = [prior.space.standardiser(z.double()) for z in train]
    base = prior.log_prob if prior.views == 1 else prior.space.log_prob

    def log_ratio(joined: Tensor) -> Tensor:
        total = 0
        for move, z in zip(to_reference, joined.chunk(len(to_reference), 1)):
            u, log_jacobian = move(z.double())
            total = total + (prior.space.log_prob(u) + log_jacobian).to(z) - base(z)
        return total

    return log_ratio
