"""Fitting a small network until validation stops improving: critics, densities, classifiers."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require, require_above, require_at_least
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
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    eval_every: int,
    patience: int | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Curve:
    """Maximise objective(), a new batch at each call; `network` ends with the weights that `validate` rates highest.

    The initial weights are among them, so that what cannot be learned stays where it started. patience: how many looks
    at validation without a better value end the fit; None: none do.
    """
    best, chosen, weights, at, values = -math.inf, 0, copy.deepcopy(network.state_dict()), [], []
    for step in range(steps + 1):
        if step % eval_every == 0 or step == steps:
            network.eval()
            with torch.no_grad():
                value = validate()
            network.train()
            at.append(step)
            values.append(value)
            if not math.isfinite(value):
                break
            if value > best:
                best, chosen, weights = value, step, copy.deepcopy(network.state_dict())
            if patience is not None and len(at) - at.index(chosen) > patience:
                break
        if step < steps:
            optimizer.zero_grad()
            (-objective()).backward()
            optimizer.step()
            if schedule:
                schedule.step()
    network.load_state_dict(weights)
    network.eval()
    return Curve(at, values, chosen)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Settings of a fit by Adam on batches of pairs.

    steps: at most; eval_every: steps between two looks at validation; patience: how many looks without a better value
    end the fit.
    """

    steps: int
    batch_size: int
    lr: float
    eval_every: int
    patience: int

    def __post_init__(self):
        require_at_least(1, steps=self.steps, eval_every=self.eval_every, patience=self.patience)
        require(self.batch_size >= 2, f"batch_size must be at least 2 (a pair needs a negative), got {self.batch_size}")
        require_above(0, lr=self.lr)

    def __call__(
        self,
        network: nn.Module,
        objective: Callable[[Pairs], Tensor],
        train: Pairs,
        validate: Callable[[], float],
        generator: torch.Generator,
    ) -> Curve:
        """Maximise `objective` over batches of `train`, whose order is the generator's."""
        optimizer = torch.optim.Adam(network.parameters(), lr=self.lr, fused=True)
        batches = self._batches(train, generator)
        looks = {"steps": self.steps, "eval_every": self.eval_every, "patience": self.patience}
        return fit(network, lambda: objective(next(batches)), validate, optimizer, **looks)

    def _batches(self, train: Pairs, generator: torch.Generator) -> Iterator[Pairs]:
        size = min(self.batch_size, len(train.x))
        while True:
            order = torch.randperm(len(train.x), generator=generator)
            for rows in order[: len(order) // size * size].split(size):
                yield train.rows(rows)
