"""Priors that the scores log f(z, z') of a critic define."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ssvae_cli.critics import Critic, Factored
from ssvae_cli.device import capacity
from ssvae_cli.distributions.spaces import SPACES, SpaceName
from ssvae_cli.errors import require
from ssvae_cli.instantiate.types import choice_of
from ssvae_cli.priors.base import Prior
from ssvae_cli.scores.fresh import FreshScores
from ssvae_cli.scores.in_batch import Direction, by_direction, in_batch_scores
from ssvae_cli.scores.protocol import Scores

RESAMPLED = 1024  # number of candidates from which a partner is drawn


class Views(Protocol):
    """Q(z) and Q(z') in evaluation, as samples."""

    sources: tuple[Tensor, ...]  # fresh latents of all n sources, [n, D] each
    own: Tensor  # [B], the row of each anchor's own source


class Marginals(NamedTuple):
    """Samples of Q(z) and Q(z'), among which the anchors have no place."""

    sources: tuple[Tensor, ...]
    own: Tensor


class HeldOut(NamedTuple):
    """The terms of the ELBO on held-out latents."""

    log_ratio: Tensor  # log P(z, z') / (Q(z) Q(z')), [directions, B]; its mean is the ELBO (Eqs. 17, 20, 30)
    scores: Sequence[Scores]  # for bounds on I


class ScorePrior(Prior):
    """A prior defined by the scores log f(z, z') of a critic, in one direction or in both.
    forward normalises over z' given z, backward over z given z'; `both`, the usual symmetric loss, is the mean of the
    two priors' ELBOs. space: where the encoder's output lives."""

    def __init__(self, *, critic: Critic, direction: Direction, space: SpaceName = "euclidean"):
        super().__init__()
        self.critic, self.direction, self.space = critic, direction, SPACES[space]

    def elbo(self, estimator, encoded):
        scored = in_batch_scores(self.critic, *encoded.latents, self.direction, estimator.past())
        estimator.remember(encoded)
        values = [estimator(scores) for scores in scored]
        return sum(values) / len(values)

    def read(self, latents: tuple[Tensor, ...], marginals: Views) -> HeldOut:
        """The terms of the ELBO of held-out latents, [B, D] each."""
        z, z_prime = latents
        sources, sources_prime = marginals.sources
        positives = self.critic.paired(z, z_prime)
        scored = self._directed(
            lambda: FreshScores(positives, self.critic(z, sources_prime), marginals.own),
            lambda: FreshScores(positives, self.critic(sources, z_prime).T, marginals.own),
        )
        return HeldOut(torch.stack([self.log_ratio(scores) for scores in scored]), scored)

    def log_ratio(self, scores: Scores) -> Tensor:
        """log P(z, z') / (Q(z) Q(z')) = log f - log Z(z) of each pair, [B]; its mean is the ELBO (Eq. 30)."""
        return scores.positives - scores.log_partition(positive=False)

    def pair_scores(self, latents: tuple[Tensor, ...], sources: tuple[Tensor, ...]) -> Tensor:
        """log P(z, z') / (Q(z) Q(z')) of each pair, [B]; sources: samples of Q(z) and of Q(z'), [n, D] each. The mean
        over the directions. Of `mi`, whose P is Q, the critic's estimate."""
        unused = torch.zeros(len(latents[0]), dtype=torch.long, device=latents[0].device)
        return self.read(latents, Marginals(sources, unused)).log_ratio.mean(0)

    def score_table(self, latents):
        return self.critic(*latents)

    def require_memory(self, batch, device):
        if isinstance(self.critic, Factored):
            return  # in tiles
        need, have = 4 * batch**2 * self.critic.stored_per_score, capacity(device)
        require(
            need <= have,
            f"trainer.batch_size={batch}: prior/critic={choice_of(type(self.critic))} needs all scores of a batch at "
            f"once, {need / 2**30:.1f} GiB of {have / 2**30:.1f}; allowed: a smaller batch, or an inner product or a "
            "distance as critic: cosine, bilinear, bilinear_bias, separable, rbf, diagonal_rbf, student, laplace",
        )

    def _directed(self, forward: Callable, backward: Callable) -> list:
        return by_direction(self.direction, forward, backward)


def draw_distinct(rows: Tensor, count: int = RESAMPLED) -> Tensor:
    """`count` random rows, [N, D] -> [count, D]; none is repeated before all are used."""
    order = torch.cat([torch.randperm(len(rows), device=rows.device) for _ in range(-(-count // len(rows)))])
    return rows[order[:count]]
