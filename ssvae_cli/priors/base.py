"""What a prior answers: its latent space, which estimators serve it, and its ELBO on an encoded batch."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli import memory, ranks
from ssvae_cli.build import choice_of
from ssvae_cli.couplings import Coupling, Factored
from ssvae_cli.errors import require
from ssvae_cli.scores import DenseScores, FreshScores, RankScores, Scores, TiledScores, Tiles
from ssvae_cli.spaces import SPACES, SpaceName

TILED_ABOVE = 4096 * 4096  # scores; below, one table is as fast and simpler to compile

Direction = Literal["forward", "backward", "both"]
RESAMPLED = 1024  # candidates among which a partner is drawn


class NoSamples(NotImplementedError):
    """P cannot be sampled: its KL is not estimated by a classifier."""


class Encoded(NamedTuple):
    """A batch in latent space: one sample of each posterior, [B, D], and the posteriors they came from."""

    z: Tensor
    z_prime: Tensor | None  # None under an unstructured prior, which sees one x
    posterior: object
    posterior_prime: object

    @property
    def latents(self) -> tuple[Tensor, ...]:
        """(z, z'), or (z,) under an unstructured prior."""
        return (self.z,) if self.z_prime is None else (self.z, self.z_prime)

    @property
    def posteriors(self) -> tuple[object, ...]:
        """Of each of the latents."""
        return (self.posterior,) if self.z_prime is None else (self.posterior, self.posterior_prime)


class Prior(nn.Module):
    """P(z, z') or P(z). Subclasses say which estimators serve them and how their ELBO is had."""

    served_by: tuple[str, ...]  # names of estimators; any other is refused
    views = 2  # 1 for an unstructured prior
    space = SPACES["euclidean"]

    def require_memory(self, batch: int, device: torch.device) -> None:
        """Raise UserError where a step on so large a batch cannot fit."""

    def elbo(self, estimator: Callable, encoded: Encoded) -> Tensor:
        """The ELBO in nats up to log P_true(x) + log P_true(x'), []; its gradient is the estimator's."""
        raise NotImplementedError

    def samplers(self, latents: tuple[Tensor, ...]) -> list[Callable[[Tensor], Tensor]]:
        """Functions like [B, F] -> B samples of P, the sides joined; several where the ELBO is a mean over priors.

        latents: samples of Q, (z, z') or (z,), [N, D] each, to which a prior made of Q is resampled.
        """
        raise NoSamples


class ScorePrior(Prior):
    """A prior known through the scores log f(z, z') of a coupling, in one direction or in both.

    forward normalises over z' given z, backward over z given z'; `both` is the usual symmetric loss,
    the mean of two priors' ELBOs. space: where the encoder's output lives.
    """

    def __init__(self, *, coupling: Coupling, direction: Direction, space: SpaceName = "euclidean"):
        super().__init__()
        self.coupling = coupling
        self.direction = direction
        self.space = SPACES[space]

    def require_memory(self, batch, device):
        if isinstance(self.coupling, Factored):
            return  # in tiles
        need, have = 4 * batch**2 * self.coupling.kept, memory.capacity(device)
        chosen = f"prior/coupling={choice_of(type(self.coupling))}"
        require(
            need <= have,
            f"trainer.batch_size={batch}: {chosen} needs all scores of a batch at once, "
            f"{need / 2**30:.1f} GiB of {have / 2**30:.1f}; allowed: a smaller batch, or a coupling that is an "
            "inner product or a distance: cosine, bilinear, bilinear_bias, separable, rbf, diagonal_rbf, student, "
            "laplace",
        )

    def scores(self, z: Tensor, z_prime: Tensor, past: tuple[Tensor, Tensor] | None = None) -> list[Scores]:
        """In-batch scores of z, z': [B, D], one a direction; `past` latents, [M, D] each, are more candidates."""
        others, others_prime = (ranks.everyone_mine_first(side) for side in (z, z_prime))
        if past is not None:
            others, others_prime = (torch.cat(side) for side in zip((others, others_prime), past))
        tiled = isinstance(self.coupling, Factored) and len(z) * len(others) > TILED_ABOVE
        answer = self._tiled if tiled else self._dense
        scored = answer(z, z_prime, others, others_prime)
        return scored if ranks.share() is None else [RankScores(s) for s in scored]

    def _dense(self, z, z_prime, others, others_prime) -> list[Scores]:
        """The anchors z against others', and z' against others: the pairs come first among these."""
        table = self.coupling(z, others_prime)
        alone = others.shape == z.shape
        return self._directed(
            lambda: DenseScores(table), lambda: DenseScores((table if alone else self.coupling(others, z_prime)).T)
        )

    def _tiled(self, z, z_prime, others, others_prime) -> list[Scores]:
        if others.shape == z.shape:  # one pass over the tiles serves both directions
            sides = {"forward": {"rows"}, "backward": {"columns"}, "both": {"rows", "columns"}}[self.direction]
            tiles = self._tiles(z, z_prime, sides)
            return self._directed(lambda: TiledScores(tiles, "rows"), lambda: TiledScores(tiles, "columns"))
        return self._directed(
            lambda: TiledScores(self._tiles(z, others_prime, {"rows"}), "rows"),
            lambda: TiledScores(self._tiles(others, z_prime, {"columns"}), "columns"),
        )

    def _tiles(self, z, z_prime, sides) -> Tiles:
        return Tiles(self.coupling, z, z_prime, sides=sides)

    def fresh_scores(self, z: Tensor, z_prime: Tensor, sources: tuple[Tensor, Tensor], own: Tensor) -> list[Scores]:
        """Scores of z, z': [B, D] against fresh views of all n sources (z and z' sides, [n, D] each)."""
        positives = self.coupling.paired(z, z_prime)
        return self._directed(
            lambda: FreshScores(positives, self.coupling(z, sources[1]), own),
            lambda: FreshScores(positives, self.coupling(sources[0], z_prime).T, own),
        )

    def log_ratio(self, scores: Scores) -> Tensor:
        """log P(z, z') / (Q(z) Q(z')) of each pair, [B]: log f - log Z(z). Its mean is the ELBO (Eq. 30)."""
        return scores.positives - scores.log_partition(positive=False)

    def _directed(self, forward: Callable[[], Scores], backward: Callable[[], Scores]) -> list[Scores]:
        made = {"forward": [forward], "backward": [backward], "both": [forward, backward]}
        return [make() for make in made[self.direction]]

    def elbo(self, estimator, encoded):
        scored = self.scores(encoded.z, encoded.z_prime, estimator.past(encoded))
        values = [estimator(scores) for scores in scored]
        return sum(values) / len(values)


class ExplicitPrior(Prior):
    """A prior with a density. The ELBO is E log P(z, z') + H(z) + H(z') (Eq. 17); the entropies are estimated."""

    served_by = ("classifier", "telescoping", "aggregate", "logdet", "kde", "knn")

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log P(z, z'), [B, D] each -> [B], nats. An unstructured prior's takes z alone."""
        raise NotImplementedError

    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """`count` samples of (z, z'), [count, dim] each; of (z,) under an unstructured prior."""
        raise NoSamples

    def samplers(self, latents):
        dim = latents[0].shape[1]
        return [lambda like: torch.cat(self.sample(len(like), dim), 1).to(like)]

    def elbo(self, estimator, encoded):
        return estimator(self, ranks.everyones(encoded))


def some(rows: Tensor, count: int = RESAMPLED) -> Tensor:
    """`count` of the rows, [N, D] -> [count, D]: each once before any twice."""
    order = torch.cat([torch.randperm(len(rows), device=rows.device) for _ in range(-(-count // len(rows)))])
    return rows[order[:count]]
