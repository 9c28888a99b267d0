"""What estimators share: what they estimate, and their signature, which is one for scores and one for entropies."""

import inspect
import math

from torch import Tensor, nn

from ssvae_cli.distributions.spaces import SPACES, Space
from ssvae_cli.instantiate.build import Contract
from ssvae_cli.scores.protocol import Scores

CONTRACT = Contract(
    ("name", "estimates"),
    "an estimator derives from ScoreEstimator or EntropyEstimator of ssvae_cli.estimators, and has a `name`",
)


class Estimator(nn.Module):
    """One number in nats from a batch. Its value is reported; its gradient trains, and may be another quantity's.

    name: for logs and tables. estimates: the quantities of priors that it serves. spaces: of latents, in which it can.
    needs_density: whether a posterior without a density, a delta, is refused.
    """

    name: str
    estimates: frozenset[str]
    spaces = frozenset(SPACES)
    needs_density = False


class ScoreEstimator(Estimator):
    """One number from the scores of a batch. A subclass says in its docstring what it is to I and to the ELBO.

    bound: `lower` where the expectation is a lower bound of I for any f, `none` where it is not.
    """

    estimates = frozenset({"infonce", "mi", "energy"})
    bound = "none"
    keeps_past = False  # whether latents of earlier batches are among the candidates

    def forward(self, scores: Scores) -> Tensor:
        """Nats, []."""
        raise NotImplementedError

    def past(self) -> tuple[Tensor, Tensor] | None:
        """(z, z') of earlier batches, [M, D] each, that are further candidates; None for none."""
        return None

    def remember(self, encoded) -> None:
        """Keep what later batches need of this one."""

    @staticmethod
    def ceiling(candidates: float) -> float:
        """The most that it can read with so many candidates, nats."""
        return math.inf


class EntropyEstimator(Estimator):
    """H(z) of a batch, for the ELBO of Eq. 17. A subclass says in its docstring how it is biased."""

    estimates = frozenset({"entropy"})

    def forward(self, z: Tensor, *, posterior, space: type[Space], side: int) -> Tensor:
        """H(z) in nats, [], of the marginal Q that z, [B, D], are samples of.

        posterior: the batch's Q(z|x), from which z were drawn. space: where z lives. side: 0 for z, 1 for z'.
        """
        raise NotImplementedError


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value of the first, the gradient of the second."""
    return surrogate + (value - surrogate).detach()


def meaning(estimator: Estimator) -> str:
    """What an estimator's number is to I and to the ELBO, its ceiling, variance and source: its docstring says it."""
    text = inspect.getdoc(type(estimator)) or ""
    return " ".join(text[max(text.find("Relation to"), 0) :].split())
