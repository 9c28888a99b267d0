"""One step of training: pairs, encoders, ELBO, gradients, update; nothing in it waits for the device."""

import torch
from torch import Tensor, nn

from ssvae_cli import ranks


class Step:
    """A batch to its ELBO, after the update that it calls for. compile: the views, and the objective forward and
    backward."""

    def __init__(self, *, objective: nn.Module, pairs, optimization, noise: torch.Generator, compile: bool):
        self.pairs, self.optimization, self.noise = pairs, optimization, noise
        self.forward = torch.compile(objective) if compile else objective
        if compile:
            pairs.compile()

    def __call__(self, batch, step: int) -> tuple[Tensor, Tensor]:
        """(the ELBO, the gradient's norm before clipping), [] each, on the device; step: counted from 0."""
        with torch.no_grad():
            view, view_prime = self.pairs(batch, self.noise)
        elbo = self.forward(view, view_prime, self.pairs.to_unit(view), self.noise)
        (-elbo).backward()
        ranks.average_gradients(self.optimization.parameters)
        return elbo.detach(), self.optimization.step(step)
