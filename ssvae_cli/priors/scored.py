"""Priors that the scores log f(z, z') of a critic define."""

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli.critics import Critic, Factored, require_scores
from ssvae_cli.device import capacity
from ssvae_cli.distributed.collectives import world_size
from ssvae_cli.distributions.spaces import SPACES, SpaceName
from ssvae_cli.errors import require
from ssvae_cli.instantiate.types import choice_of
from ssvae_cli.priors.base import Prior
from ssvae_cli.scores.fresh import FreshScores
from ssvae_cli.scores.in_batch import Direction, by_direction, in_batch_scores
from ssvae_cli.scores.other_times import Negatives, OtherTimes
from ssvae_cli.scores.protocol import Scores

RESAMPLED = 1024  # number of candidates from which a partner is drawn


class Marginals(NamedTuple):
    """The marginals of Q as samples, over which the partitions of held-out latents are averaged."""

    sources: tuple[Tensor, ...]  # latents of fresh views of all n sources, [n, D] each
    own: Tensor  # int64 [B], the row of each anchor's own source among them


class HeldOut(NamedTuple):
    """The terms of the ELBO on held-out latents, by the latent that is the anchor."""

    log_ratio: Tensor  # log P / prod_i Q(z_i), [anchors, B]; its mean is the ELBO (Eqs. 17, 20, 30)
    scores: Sequence[Sequence[Scores]]  # with each other latent, for bounds on I


class ScorePrior(Prior):
    """A prior defined by the scores log f(z, z') of a critic, in one direction or in both.

    forward normalises over z' given z, backward over z given z'; `both`, the usual symmetric loss, is the mean of the
    two priors' ELBOs. Of n views forward is a star, P(z_1) prod_i P(z_i|z_1), whose ELBO is the sum over its n - 1
    pairs; `both` takes all ordered pairs, the mean over the n stars. critics: `shared`, one f for all pairs of views,
    or `each`, another for each number of places between two views, as the W_k of van den Oord et al. 2018.
    negatives: candidates in training are `across` sequences, other times `within` the anchor's own, or `both`; within
    alone, the normaliser is that of Q(z') given the sequence. space: where the encoder's output lives.
    """

    of_further_views = {"critics": "each"}
    no_joint = "P contains Q(z) Q(z'), so its ELBO would contain I, which is not estimated"

    def __init__(
        self,
        *,
        critic: Critic,
        direction: Direction,
        space: SpaceName = "euclidean",
        critics: Literal["shared", "each"] = "shared",
        negatives: Negatives = "across",
        views: int = 2,
    ):
        super().__init__()
        fault = f"direction must be forward with pairs.negatives={negatives}, as candidates are of z'"
        require(negatives == "across" or direction == "forward", f"{fault}, got {direction}")
        self.negatives = negatives
        several = f"direction must be forward, a star from the first, or both, all ordered pairs, of {views} views"
        require(views <= 2 or direction != "backward", f"{several}; got {direction}")
        self.critic, self.direction, self.space, self.views = critic, direction, SPACES[space], views
        copies = views - 2 if critics == "each" else 0
        self.further = nn.ModuleList(copy.deepcopy(critic) for _ in range(copies))  # of two places apart, three, ...

    def critic_of(self, a: int, b: int) -> Critic:
        """f of latents a and b, a < b."""
        apart = b - a - 1
        return self.further[apart - 1] if apart and self.further else self.critic

    def elbo(self, estimator, encoded):
        latents, past = encoded.latents, estimator.past()

        def score(a: int, b: int) -> list[Scores]:
            candidates, critic = None if past is None else past.of(a, b), self.critic_of(a, b)
            scored = in_batch_scores(critic, latents[a], latents[b], self.direction, candidates)
            if self.negatives == "across" or not encoded.times:
                return scored
            of_times = torch.stack([critic.paired(latents[a], other) for other in encoded.times], 1)
            return [OtherTimes(scores, of_times, besides=self.negatives == "both") for scores in scored]

        stars = self._stars(score)
        estimator.remember(encoded)
        values = [sum(estimator(scores) for scores in star) for star in stars]
        return sum(values) / len(values)

    def _stars(self, score: Callable[[int, int], list[Scores]]) -> list[list[Scores]]:
        """The scores of an anchor with each other latent, by anchor; score(a, b): of a pair, one for each direction."""
        if self.direction != "both":
            return [[scores for other in range(1, self.views) for scores in score(0, other)]]
        stars = [[] for _ in range(self.views)]
        for a, b in itertools.combinations(range(self.views), 2):
            forward, backward = score(a, b)
            stars[a].append(forward)
            stars[b].append(backward)
        return stars

    def read(self, latents: tuple[Tensor, ...], marginals: Marginals) -> HeldOut:
        """The terms of the ELBO of held-out latents, [B, D] each."""

        def score(a: int, b: int) -> list[Scores]:
            z, z_prime, (sources, sources_prime) = latents[a], latents[b], (marginals.sources[a], marginals.sources[b])
            critic = self.critic_of(a, b)
            positives = critic.paired(z, z_prime)
            return self._directed(
                lambda: FreshScores(positives, critic(z, sources_prime), marginals.own),
                lambda: FreshScores(positives, critic(sources, z_prime).T, marginals.own),
            )

        stars = self._stars(score)
        return HeldOut(torch.stack([sum(self.log_ratio(scores) for scores in star) for star in stars]), stars)

    def log_ratio(self, scores: Scores) -> Tensor:
        """log P(z, z') / (Q(z) Q(z')) = log f - log Z(z) of each pair, [B]; its mean is the ELBO (Eq. 30)."""
        return scores.positives - scores.log_partition(positive=False)

    def pair_scores(self, latents: tuple[Tensor, ...], sources: tuple[Tensor, ...]) -> Tensor:
        """log P(z, z') / (Q(z) Q(z')) of each pair, [B]; sources: samples of Q(z) and of Q(z'), [n, D] each. The mean
        over the directions. Of `mi`, whose P is Q, the critic's estimate."""
        return self._log_ratios(latents, sources).mean(0)

    def pair_table(self, latents: tuple[Tensor, Tensor], sources: tuple[Tensor, Tensor]) -> Tensor:
        """The same of all combinations of z and z', [n, D] each -> [n, n]."""
        table = self.critic(*latents)
        log_z = table.diagonal() - self._log_ratios(latents, sources)
        of_anchors = self._directed(lambda: log_z[0][:, None], lambda: log_z[-1])
        return table - sum(of_anchors) / len(of_anchors)

    def _log_ratios(self, latents: tuple[Tensor, ...], sources: tuple[Tensor, ...]) -> Tensor:
        """`pair_scores` by the anchor, [anchors, B]."""
        unread = torch.zeros(len(latents[0]), dtype=torch.long, device=latents[0].device)  # no anchor is a source
        return self.read(latents, Marginals(sources, unread)).log_ratio

    def score_table(self, latents):
        return self.critic(*latents[:2])

    def require_promised(self, latent_dim):
        require_scores(self.critic, latent_dim, "prior.critic")

    def require_memory(self, batch, device):
        if isinstance(self.critic, Factored):
            return  # in tiles
        processes, table = world_size(), torch.get_default_dtype().itemsize * batch**2 * self.critic.stored_per_score
        tables = 1 + (self.direction == "both" and processes > 1)  # that of one process serves both directions
        need = tables * table / (processes if device.type == "cuda" else 1)  # on CPUs all share one memory
        have = capacity(device)
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
