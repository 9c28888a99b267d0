"""Where a number first stopped being finite: the step and the term, noted on the device."""

import torch
from torch import Tensor, nn

from ssvae_cli.distributions.posterior import Posterior
from ssvae_cli.errors import UserError
from ssvae_cli.objective import Objective

TERMS = {  # in the order in which they are computed: the first that is not finite is the cause of the rest
    "view": "a view (x or x' of a pair)",
    "posterior": "the posterior (a latent z)",
    "score": "the score (log f of a pair)",
    "partition": "the partition, or an entropy, that the estimator computes",
    "likelihood": "the decoder's log likelihood",
    "gradient": "the gradient",
}
NEVER = 2**62
SMALLER_STEPS = "a lower optimizer.lr, or optimizer.clip, may help"
REMEDIES = {"view": "pairs= makes the views: its numbers must be finite"}  # of other terms, SMALLER_STEPS


class Diverged(UserError):
    """Training left the finite numbers. Nothing in the program is at fault, and the last checkpoint is good."""


class NanGuard:
    """Forward hooks on an objective's parts, each one reduction without host synchronisation; `check` alone waits.

    first: [6], the first step at which each of TERMS was NaN or infinite."""

    def __init__(self, objective: Objective, device: torch.device):
        self.first = torch.full((len(TERMS),), NEVER, device=device)
        self.now = torch.zeros((), dtype=torch.int64, device=device)
        for encoder in {objective.encoder, objective.encoder_prime}:
            encoder.register_forward_hook(self._encode)
        if objective.estimator is not None:
            objective.estimator.register_forward_hook(self._estimate)
        objective.register_forward_hook(lambda module, given, elbo: self.note(module, "likelihood", elbo))

    def step(self, step: int) -> None:
        """What follows belongs to `step`."""
        self.now.fill_(step)

    def note(self, module: nn.Module | None, term: str, value: Tensor) -> None:
        """Keep the present step if a value is not finite and none before was; evaluation is not watched."""
        if module is None or module.training:
            row = self.first[list(TERMS).index(term)]
            row.copy_(torch.where(value.detach().isfinite().all(), row, torch.minimum(row, self.now)))

    def gradient(self, norm: Tensor) -> None:
        """The norm of the whole gradient, []."""
        self.note(None, "gradient", norm)

    def check(self, steps_per_epoch: int, kept: str) -> None:
        """Raise Diverged, naming the term that came first, the step and the checkpoint `kept`."""
        first = self.first.tolist()
        step = min(first)
        if step == NEVER:
            return
        term = list(TERMS)[first.index(step)]
        raise Diverged(
            f"training stopped at step {step + 1} (epoch {step // steps_per_epoch + 1}), where {TERMS[term]} was not "
            f"finite; {kept}; {REMEDIES.get(term, SMALLER_STEPS)}"
        )

    def _encode(self, module: nn.Module, given: tuple, q: Posterior) -> None:
        self.note(module, "view", given[0])
        self.note(module, "posterior", q.mean)

    def _estimate(self, module: nn.Module, given: tuple, value: Tensor) -> None:
        if given and hasattr(given[0], "positives"):
            self.note(module, "score", given[0].positives)
        self.note(module, "partition", value)
