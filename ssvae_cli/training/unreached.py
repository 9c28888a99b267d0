"""Parameters of the encoders that training does not reach, as behind a `detach` in a user's own backbone."""

import logging

from ssvae_cli.objective import Objective
from ssvae_cli.tracking.missing import listed

log = logging.getLogger(__name__)


def warn_of_unreached(objective: Objective) -> None:
    """Say which parameters have no gradient after the first backward pass, of those that are to be trained."""
    encoders = {"encoder": objective.encoder, "encoder_prime": objective.encoder_prime}
    names = [
        f"{key}.{name}"
        for key, encoder in encoders.items()
        if encoder in objective.encoders and (key == "encoder" or encoder is not objective.encoder)
        for name, parameter in encoder.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    if names:
        log.warning("no gradient reaches %s: not trained", listed(names))
