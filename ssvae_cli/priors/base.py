"""What a prior answers: its latent space, what has to be estimated, its ELBO in training and on held-out latents."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ssvae_cli.critics import Critic, Factored
from ssvae_cli.device import capacity
from ssvae_cli.distributed.collectives import all_gather_encoded
from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.distributions.spaces import SPACES, Space, SpaceName
from ssvae_cli.errors import require
from ssvae_cli.estimators.base import Estimator
from ssvae_cli.instantiate.build import Contract
from ssvae_cli.instantiate.types import choice_of
from ssvae_cli.scores.fresh import FreshScores
from ssvae_cli.scores.in_batch import Direction, by_direction, in_batch_scores
from ssvae_cli.scores.protocol import Scores

Quantity = Literal["infonce", "mi", "energy", "entropy"]
Sampler = Callable[[Tensor], Tensor]  # like: [B, F] -> B samples of P, their sides joined
CONTRACT = Contract(
    ("quantity", "space", "views", "elbo", "read"),
    "a prior derives from ExplicitPrior or ScorePrior of ssvae_cli.priors; a ScorePrior also names its `quantity`, "
    "infonce, mi or energy, by which estimators are matched to it",
)
RESAMPLED = 1024  # number of candidates from which a partner is drawn


class NoSamples(Exception):
    """P cannot be sampled, so no classifier can estimate its KL."""


class Encoded(NamedTuple):
    """A batch in latent space: one sample of each posterior, [B, D], and the posteriors themselves."""

    z: Tensor
    z_prime: Tensor | None  # None under an unstructured prior, which sees one x
    posterior: Posterior
    posterior_prime: Posterior | None

    @property
    def latents(self) -> tuple[Tensor, ...]:
        """(z, z'), or (z,) under an unstructured prior."""
        return (self.z,) if self.z_prime is None else (self.z, self.z_prime)

    @property
    def posteriors(self) -> tuple[Posterior, ...]:
        """The posterior of each of the latents."""
        return (self.posterior,) if self.z_prime is None else (self.posterior, self.posterior_prime)


class Marginals(Protocol):
    """Q(z) and Q(z') in evaluation; a prior uses what its ELBO needs."""

    sources: tuple[Tensor, ...]  # fresh latents of all n sources, [n, D] each
    own: Tensor  # [B], the row of each anchor's own source

    def log_prob(self, side: int, z: Tensor) -> Tensor:
        """log Q of one side's latents, [B, D] -> [B], nats."""


class HeldOut(NamedTuple):
    """The terms of the ELBO on held-out latents."""

    log_ratio: Tensor  # log P(z, z') / (Q(z) Q(z')), [directions, B]; its mean is the ELBO (Eqs. 17, 20, 30)
    scores: Sequence[Scores] = ()  # for bounds on I; empty if P has no critic


class Prior(nn.Module, ABC):
    """P(z, z') or P(z). Subclasses name the quantity to be estimated and give the ELBO."""

    quantity: Quantity
    views = 2  # number of latents; 1 for an unstructured prior
    space: type[Space] = SPACES["euclidean"]
    needs_densities = False  # whether the ELBO contains the entropies of Q(z) and Q(z')
    largest_elbo = math.inf  # nats, an upper bound that holds for any data

    @abstractmethod
    def elbo(self, estimator: Estimator, encoded: Encoded) -> Tensor:
        """The ELBO in nats up to log P_true(x) + log P_true(x'), []; its gradient is the estimator's."""

    @abstractmethod
    def read(self, latents: tuple[Tensor, ...], marginals: Marginals) -> HeldOut:
        """The terms of the ELBO of held-out latents, [B, D] each."""

    def samplers(self, latents: tuple[Tensor, ...]) -> list[Sampler]:
        """Samplers of P: several if the ELBO is a mean over priors, none if P is Q. Raises NoSamples.
        latents: samples of Q, (z, z') or (z,), [N, D] each, from which a prior defined through Q is resampled."""
        raise NoSamples

    def log_joint(self, latents: tuple[Tensor, ...]) -> Tensor | None:
        """log P of the latents, [B], where (z, z') as one vector fills R^(2 D); None elsewhere."""
        return None

    def log_ratio_by_moments(self, latents: tuple[Tensor, ...]) -> Callable[[Tensor], Tensor] | None:
        """A first guess of log Q / P from these latents' moments alone, for a classifier to start at; None for none."""
        return None

    def score_table(self, latents: tuple[Tensor, ...]) -> Tensor | None:
        """log f of all combinations, [B, B]; None if P has no critic."""
        return None

    def require_memory(self, batch: int, device: torch.device) -> None:
        """Raise UserError if a step on a batch of this size cannot fit in memory."""


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

    def read(self, latents, marginals):
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


class ExplicitPrior(Prior):
    """A prior with a density. The ELBO is E log P(z, z') + H(z) + H(z') (Eq. 17), its entropies estimated."""

    quantity = "entropy"
    needs_densities = True

    @abstractmethod
    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log P(z, z'), [B, D] each -> [B], nats; log P(z) of an unstructured prior."""

    def log_marginal(self, z: Tensor) -> Tensor:
        """log P(z) in `log_ratio_by_moments`: the space's reference, [B, D] -> [B], nats."""
        return self.space.log_prob(z)

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """`count` samples of (z, z'), [count, dim] each; of (z,) for an unstructured prior."""
        raise NoSamples

    def elbo(self, estimator, encoded):
        encoded = all_gather_encoded(encoded)
        value = self.log_prob(*encoded.latents).mean()
        for side, (z, posterior) in enumerate(zip(encoded.latents, encoded.posteriors)):
            value = value + estimator(z, posterior=posterior, space=self.space, side=side)
        return value

    def read(self, latents, marginals):
        log_q = (marginals.log_prob(side, z) for side, z in enumerate(latents))
        return HeldOut((self.log_prob(*latents) - sum(log_q))[None])

    def samplers(self, latents):
        dim = latents[0].shape[1]
        return [lambda like: torch.cat(self.sample(len(like), dim), 1).to(like)]

    def log_joint(self, latents):
        return self.log_prob(*latents) if self.space is SPACES["euclidean"] else None

    def log_ratio_by_moments(self, latents):
        standardisers = [self.space.standardiser(z.double()) for z in latents]

        def log_ratio(joined: Tensor) -> Tensor:
            total = 0
            for standardise, z in zip(standardisers, joined.chunk(len(latents), 1)):
                u, log_jacobian = standardise(z.double())
                total = total + (self.space.log_prob(u) + log_jacobian).to(z) - self.log_marginal(z)
            return total

        return log_ratio


def draw_distinct(rows: Tensor, count: int = RESAMPLED) -> Tensor:
    """`count` random rows, [N, D] -> [count, D]; none is repeated before all are used."""
    order = torch.cat([torch.randperm(len(rows), device=rows.device) for _ in range(-(-count // len(rows)))])
    return rows[order[:count]]
