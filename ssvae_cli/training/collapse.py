"""Collapse, noticed while training: an encoder whose z no longer tells one x from another."""

import logging

from torch import Tensor

log = logging.getLogger(__name__)
CHANCE = 0.01  # nats: K-way InfoNCE this close to 0 tells no pair from another
EXPLAINED = 0.001  # share of a coordinate's variance that x explains, up to which its posterior ignores x
RANK = 1.1  # effective rank up to which z lies on a line
WARM_UP = 200  # first steps, in which an encoder may still be at its start; the last step counts in any case
CAUSES = (
    "usual causes: optimizer.lr is too high (try a tenth); the views of a pair share nothing, or all x are the same "
    "(see figures/pairs.png, and weaken `pairs`); nothing in the objective keeps z apart (a larger "
    "trainer.batch_size, another prior or estimator)"
)


class CollapseWatch:
    """Looks at the numbers on validation and warns once, where two in a row, or the last, show a collapse."""

    def __init__(self, latent_dim: int, last_step: int):
        self.latent_dim, self.last_step = latent_dim, last_step
        self._before, self._warned = False, False

    def look(self, step: int, values: dict, explained: Tensor | None = None) -> None:
        """The numbers after `step` steps; those without an effective rank and without mi/infonce say nothing.

        explained: the share of the variance of each coordinate of z that x explains, [D]; None: all of it."""
        signs = self.signs(values, explained)
        lasting = self._before and step > WARM_UP
        if signs and not self._warned and (lasting or step >= self.last_step):
            self._warned = True
            log.warning("collapse: %s; %s", "; ".join(signs), CAUSES)
        self._before = bool(signs)

    def signs(self, values: dict, explained: Tensor | None) -> list[str]:
        """What shows a collapse."""
        found = []
        most = None if explained is None else explained.max().item()
        if most is not None and most <= EXPLAINED:
            found.append(f"the posterior ignores x, which explains at most {most:.3%} of a coordinate of z")
        bound, ceiling = (values.get(f"mi/infonce{end}/validation") for end in ("", "/ceiling"))
        overfitted = (values.get("elbo/train") or 0.0) > 10 * CHANCE  # or too few steps for batch norm's averages
        if isinstance(bound, float) and isinstance(ceiling, float) and abs(bound) <= CHANCE and not overfitted:
            found.append(f"mi/infonce is 0 of at most log K = {ceiling:.2f}: the encoder tells no pair from another")
        rank = values.get("geometry/rank/validation")
        if isinstance(rank, float) and rank <= RANK and self.latent_dim > 1:
            found.append(f"the effective rank of z is {rank:.2f}, of {self.latent_dim} dimensions")
        return found
