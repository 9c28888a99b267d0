"""An average of the weights of training, which is evaluated instead of the last."""

import copy

import torch

from ssvae_cli.encoders.averaging import move_towards
from ssvae_cli.objective import Objective


class WeightAverage:
    """a <- d a + (1 - d) w after each update, d = min(decay, (1 + n) / (10 + n)) after n of them (Polyak & Juditsky
    1992; the start as in TensorFlow). objective: of the averaged weights; buffers, such as the statistics of batch
    norms, and the estimator are those of training."""

    def __init__(self, objective: Objective, decay: float):
        self.objective, self.decay = copy.deepcopy(objective).eval(), decay
        self.objective.estimator = objective.estimator

    @torch.no_grad()
    def follow(self, objective: Objective, updates: int) -> None:
        """Move towards the objective in training, after so many updates."""
        move_towards(self.objective, objective, 1 - min(self.decay, (1 + updates) / (10 + updates)))
        for buffer, trained in zip(self.objective.buffers(), objective.buffers(), strict=True):
            buffer.copy_(trained)
