"""Fitting a small network until validation stops improving: critics, densities, classifiers."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli.compiler import unmarked
from ssvae_cli.errors import require, require_above, require_at_least
from ssvae_cli.evaluation.estimate import Z95
from ssvae_cli.evaluation.samples import Pairs


class Curve(NamedTuple):
    """Validation over training: steps and values, and the step that was chosen."""

    steps: list[int]
    values: list[float]
    chosen: int


def fit(
    network: nn.Module,
    objective: Callable[[], Tensor],
    validate: Callable[[], float],
    optimizer: torch.optim.Optimizer | None,
    *,
    steps: int,
    eval_every: int,
    patience: int | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    ended: Callable[[bool], bool] | None = None,
) -> Curve:
    """Maximise objective(), a new batch at each call; `network` ends with the weights that `validate` rates highest.

    The initial weights are a candidate, so what cannot be learned stays at its start. patience: the fit ends after so
    many validations without a better value; None: it never ends early. optimizer: may be None if `steps` is 0. ended:
    given whether the last validation was the best, says whether the fit ends, as `PairedStop`.
    """
    best, weights, curve = -math.inf, copy.deepcopy(network.state_dict()), Curve([], [], 0)
    for step in range(steps + 1):
        if step % eval_every == 0 or step == steps:
            network.eval()
            with torch.no_grad():
                value = validate()
            network.train()
            curve.steps.append(step)
            curve.values.append(value)
            if not math.isfinite(value):
                break
            if value > best:
                best, weights, curve = value, copy.deepcopy(network.state_dict()), curve._replace(chosen=step)
            if ended is not None and ended(curve.chosen == step):
                break
            if patience is not None and len(curve.steps) - curve.steps.index(curve.chosen) > patience:
                break
        if step < steps:
            optimizer.zero_grad()
            (-objective()).backward()
            optimizer.step()
            if schedule:
                schedule.step()
    network.load_state_dict(weights)
    network.eval()
    return curve


class PairedStop:
    """Ends a fit once its held-out log-likelihood is below that of the best weights by more than the error of the
    difference explains, sample by sample: it has passed its optimum."""

    def __init__(self):
        self.now: tuple[Tensor, ...] = ()
        self.best: tuple[Tensor, ...] = ()

    def rate(self, *log_likelihoods: Tensor) -> float:
        """The sum of the means, of held-out samples, [N] each."""
        self.now = log_likelihoods
        return sum(terms.mean() for terms in log_likelihoods).item()

    def __call__(self, is_best: bool) -> bool:
        if is_best:
            self.best = self.now
            return False
        if min(map(len, self.now)) < 2:  # whose error nobody knows
            return False
        falls = [best - now for best, now in zip(self.best, self.now)]
        error = sum(fall.var() / len(fall) for fall in falls).sqrt()
        return (sum(fall.mean() for fall in falls) > Z95 * error).item()


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Settings of a fit by Adam on batches of pairs."""

    steps: int  # at most
    batch_size: int
    lr: float
    eval_every: int  # steps between validations
    patience: int  # validations without a better value before the end

    def __post_init__(self):
        require_at_least(1, steps=self.steps, eval_every=self.eval_every, patience=self.patience)
        require(self.batch_size >= 2, f"batch_size must be at least 2 (a pair needs a negative), got {self.batch_size}")
        require_above(0, lr=self.lr)

    def shortened(self, share: float) -> "Fit":
        """The same with a share of the steps."""
        return replace(self, steps=max(1, round(share * self.steps)))

    def __call__(
        self,
        network: nn.Module,
        objective: Callable[[Pairs], Tensor],
        train: Pairs,
        validate: Callable[[], float],
        generator: torch.Generator,
    ) -> Curve:
        """Maximise `objective` over batches of `train`, in the order that the generator draws."""
        parameters = [p for p in network.parameters() if p.requires_grad]  # none of a cosine of fixed temperature
        optimizer = unmarked(torch.optim.Adam)(parameters, lr=self.lr, fused=True) if parameters else None
        batches = self._batches(train, generator)
        limits = {"steps": self.steps if parameters else 0, "eval_every": self.eval_every, "patience": self.patience}
        return fit(network, lambda: objective(next(batches)), validate, optimizer, **limits)

    def _batches(self, train: Pairs, generator: torch.Generator) -> Iterator[Pairs]:
        size = min(self.batch_size, len(train.x))
        while True:
            order = torch.randperm(len(train.x), generator=generator)
            for rows in order[: len(order) // size * size].split(size):
                yield train.rows(rows)
