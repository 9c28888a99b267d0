"""The ELBO on validation split into I and KL while training (Eq. 23)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ssvae_cli.errors import require_at_least
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.evaluation.fit import Fit
from ssvae_cli.evaluation.fresh_critics import lower_bound
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.tracking.missing import Missing

KEYS = ("mi/fresh/validation", "kl/validation")


@dataclass(frozen=True, kw_only=True)
class ELBOParts:
    """`mi/fresh/validation` and `kl/validation`, nats: `elbo/validation` = I - KL, over the epochs.

    I is a lower bound by a fresh critic: fitted to train, its step chosen on every second pair of validation, read on
    the others. The KL is I less the ELBO, so it is too low by as much; under `prior=mi` it is 0. Under an explicit
    prior `elbo/validation` is the training estimator's, and the KL shares its bias. `eq23` reads both on test.
    """

    critic: Callable[..., nn.Module]
    critic_fit: Fit
    scored: int  # pairs, at most; the bound is at most the log of their number

    def __post_init__(self):
        require_at_least(2, scored=self.scored)

    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        objective = reading.objective
        if split != "validation":
            return {}
        if objective.joint or objective.decoder is not None or len(latents := reading.latents(split)) != 2:
            return dict.fromkeys(KEYS)  # there the ELBO is no I - KL of a pair
        chosen, read = (tuple(z[first::2] for z in latents) for first in (0, 1))
        train = reading.fitting_latents("train")
        bound = lower_bound(self.critic, self.critic_fit, self.scored, train, chosen, read)
        information = bound.value if isinstance(bound, Estimate) else bound
        return dict(zip(KEYS, (information, self._divergence(reading, information))))

    def _divergence(self, reading: Reading, information: float | Missing) -> float | Missing | None:
        """KL(Q || P), nats, by what remains; None where the ELBO is not read."""
        if reading.objective.prior.quantity == "mi":
            return 0.0
        elbo = reading.estimates.get("elbo/validation")
        faults = [value for value in (elbo, information) if not isinstance(value, float)]
        return faults[0] if faults else information - elbo
