"""What estimators share: what they estimate, and a signature for scores, for entropies and for baselines."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.distributions.products import Spheres
from ssvae_cli.distributions.spaces import SPACES, Space
from ssvae_cli.errors import PartError, require
from ssvae_cli.instantiate.build import Contract
from ssvae_cli.scores.protocol import Past, Scores

CONTRACT = Contract(
    ("name", "estimates", "require_rows"),
    "an estimator derives from ScoreEstimator, EntropyEstimator or PairEstimator of ssvae_cli.estimators, and has a "
    "`name`",
)


class Estimator(nn.Module, ABC):
    """One number in nats from a batch. Its value is reported; its gradient trains, and may be another quantity's."""

    name: str  # for logs and tables
    estimates: frozenset[str]  # the quantities of priors that it serves
    spaces = frozenset({*SPACES, Spheres.name})  # of latents that it can serve; spheres: those of several views joined
    needs_density = False  # whether a posterior without a density, a delta, is refused
    needs_partner = False  # whether H of one latent given another is used: not of one view, nor with a joint decoder
    needs_target = False  # whether a g' through which gradients flow is refused
    estimates_elbo = True  # whether the value that training reports is an estimate of an ELBO

    def __init__(self):
        super().__init__()
        self.register_forward_hook(require_number)

    def least_rows(self, space: type[Space] | Spheres, dim: int) -> int:
        """Of a batch of latents with `dim` coordinates: with fewer there is no estimate."""
        return 1

    def require_rows(self, count: int, space: type[Space] | Spheres, dim: int) -> None:
        """Raise UserError for a batch of fewer than `least_rows`."""
        least = self.least_rows(space, dim)
        fault = f"estimator={self.name} needs a batch of at least {least} rows for {dim} coordinates, got {count}"
        remedy = "lower encoder.latent_dim or, where there are more training samples, raise trainer.batch_size"
        require(count >= least, f"{fault}; {remedy}")


class ScoreEstimator(Estimator):
    """One number from the scores of a batch. A subclass's docstring states its relation to I and to the ELBO."""

    estimates = frozenset({"infonce", "mi", "energy"})
    bound = "none"  # `lower` if the expectation is a lower bound on I for any f
    keeps_past = False  # whether latents of earlier batches are among the candidates

    def __init__(self):
        super().__init__()
        self.register_forward_pre_hook(refuse_table)

    def past(self) -> Past | None:
        """The latents of earlier batches, as further candidates; None for none."""
        return None

    def remember(self, encoded) -> None:
        """Store what later batches need of this one."""

    @abstractmethod
    def forward(self, scores: Scores) -> Tensor:
        """Nats, []."""

    @staticmethod
    def ceiling(candidates: float) -> float:
        """The largest possible value with this number of candidates, nats."""
        return math.inf


class EntropyEstimator(Estimator):
    """H(z) of a batch, for the ELBO of Eq. 17. A subclass's docstring states its bias."""

    estimates = frozenset({"entropy"})
    suits: ClassVar[dict[str, float]] = {}  # multiples of the usual lr and prior_lr, where the optimizer's are auto

    @abstractmethod
    def forward(
        self,
        z: Tensor,
        *,
        posterior: Posterior,
        space: type[Space] | Spheres,
        side: int,
        mixture: Callable[[], tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """H(z) in nats, [], of the marginal Q from samples z, [B, D].
        posterior: the batch's Q(z|x), from which z were sampled. space: where z lives. side: 0 for z, 1 for z' and so
        on; with a joint decoder 0 for all latents joined, 1 for z alone.
        mixture: gives log P(z_i|z'_i) and the log of the mean of P(z_i|z'_j) over j != i, [B] each, by the prior's
        conditionals; None where z has no partner."""


class PairEstimator(Estimator):
    """The loss of a method without a prior, negated: a baseline. A subclass's docstring says so."""

    estimates = frozenset({"baseline"})
    estimates_elbo = False

    @abstractmethod
    def forward(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """z, z': [B, D] each, of the whole batch -> []."""


def refuse_table(estimator: Estimator, given: tuple) -> None:
    """Raise UserError for a bare table of scores; a hook."""
    bare = bool(given) and isinstance(given[0], Tensor)
    require(not bare, f"{type(estimator).__name__} asks a Scores object; give DenseScores(table) of ssvae_cli.scores")


def require_number(estimator: Estimator, given: tuple, value: Any) -> None:
    """Raise PartError unless an estimator gave one number, []; a hook."""
    if not isinstance(value, Tensor) or value.ndim:
        gave = f"is {list(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        raise PartError(f"estimator: what {type(estimator).__name__} gives {gave}, and not one number, []")


def require_gradient(estimator: Estimator, value: Tensor) -> Tensor:
    """The value. Raises PartError where nothing can be trained by what an estimator gave."""
    if not value.requires_grad:
        fault = f"what {type(estimator).__name__} gives has no gradient"
        raise PartError(f"estimator: {fault}; compute it in torch, from the tensors that it is given")
    return value


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """Value of the first, gradient of the second."""
    return surrogate + (value - surrogate).detach()


def meaning(estimator: Estimator) -> str:
    """An estimator's relation to I and to the ELBO, ceiling, variance and source, from its docstring."""
    text = inspect.getdoc(type(estimator)) or ""
    return " ".join(text[max(text.find("Relation to"), 0) :].split())
