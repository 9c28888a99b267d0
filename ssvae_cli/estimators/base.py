"""What the estimators on scores share."""

import inspect
import math

from torch import Tensor, nn

from ssvae_cli.scores import Scores


class ScoreEstimator(nn.Module):
    """One number from the scores of a batch. Subclasses give `value`, and say what it is to I and to the ELBO.

    bound: `lower` where the expectation is a lower bound of I for any f, `none` where it is not.
    """

    name: str
    bound: str

    def forward(self, scores: Scores) -> Tensor:
        """Nats, []."""
        raise NotImplementedError

    def past(self, encoded) -> tuple[Tensor, Tensor] | None:
        """(z, z') of earlier batches, [M, D] each, to be scored against beside the batch; None for none."""
        return None

    @staticmethod
    def ceiling(candidates: float) -> float:
        """The most that it can read with so many candidates, nats."""
        return math.inf


def of_value(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value of one and the gradient of the other."""
    return surrogate + (value - surrogate).detach()


def meaning(estimator) -> str:
    """What an estimator's number is to I and to the ELBO, its ceiling, variance and source: its docstring says it."""
    text = inspect.getdoc(type(estimator)) or ""
    return " ".join(text[max(text.find("Relation to"), 0) :].split())
