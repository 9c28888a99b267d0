"""One loop for every network of `ssvae mi`: train on train, stop and choose the step on validation."""

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require
from ssvae_cli.mi.data import Pairs


class Curve(NamedTuple):
    """Validation over training: steps and values, and the step that was chosen."""

    steps: list[int]
    values: list[float]
    chosen: int


class Training:
    """Adam on batches of pairs; the weights with the best validation value are kept, step 0 among them.

    steps: at most; eval_every: steps between two looks at validation; patience: how many looks without a better value
    end the training.
    """

    def __init__(self, *, steps: int, batch_size: int, lr: float, eval_every: int, patience: int):
        require(steps >= 1, f"training.steps must be at least 1, got {steps}")
        require(batch_size >= 2, f"training.batch_size must be at least 2 (a pair needs a negative), got {batch_size}")
        require(lr > 0, f"training.lr must be above 0, got {lr}")
        require(eval_every >= 1, f"training.eval_every must be at least 1, got {eval_every}")
        require(patience >= 1, f"training.patience must be at least 1, got {patience}")
        self.steps, self.batch_size, self.lr = steps, batch_size, lr
        self.eval_every, self.patience = eval_every, patience

    def fit(
        self,
        network: nn.Module,
        objective: Callable[[Pairs], Tensor],
        train: Pairs,
        validate: Callable[[], float],
        generator: torch.Generator,
    ) -> Curve:
        """Maximise `objective` over batches of `train`; `network` ends with the weights that `validate` likes best."""
        optimizer = torch.optim.Adam(network.parameters(), lr=self.lr, fused=True)
        best, chosen, weights, steps, values = -math.inf, 0, copy.deepcopy(network.state_dict()), [], []
        batches = self._batches(train, generator)
        for step in range(self.steps + 1):
            if step % self.eval_every == 0 or step == self.steps:
                network.eval()
                with torch.no_grad():
                    value = validate()
                network.train()
                steps.append(step)
                values.append(value)
                if not math.isfinite(value):
                    break
                if value > best:
                    best, chosen, weights = value, step, copy.deepcopy(network.state_dict())
                if len(steps) - steps.index(chosen) > self.patience:
                    break
            if step < self.steps:
                optimizer.zero_grad()
                (-objective(next(batches))).backward()
                optimizer.step()
        network.load_state_dict(weights)
        network.eval()
        return Curve(steps, values, chosen)

    def _batches(self, train: Pairs, generator: torch.Generator):
        size = min(self.batch_size, len(train.x))
        while True:
            order = torch.randperm(len(train.x), generator=generator)
            for rows in order[: len(order) // size * size].split(size):
                yield train.rows(rows)
