"""One step of training: pairs, encoders, ELBO, gradients, update; nothing in it waits for the device."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssvae_cli import memory, ranks


class Step:
    """A batch to its ELBO, after the update that it calls for. compile: the views, and the objective forward and
    backward, in the mode that it names."""

    def __init__(self, *, objective: nn.Module, pairs, optimization, noise: torch.Generator, compile: bool | str):
        memory.keep_freed(noise.device)
        self.pairs, self.optimization, self.noise = pairs, optimization, noise
        self.forward = compiled(objective, compile)
        if compile:
            pairs.compile()

    def __call__(self, batch, step: int) -> tuple[Tensor, Tensor]:
        """(the ELBO, the gradient's norm before clipping), [] each, on the device; step: counted from 0."""
        with torch.no_grad():
            view, view_prime = self.pairs(batch, self.noise)
        elbo = self.forward(view, view_prime, self.pairs.to_unit(view), self.noise)
        (-elbo).backward()
        ranks.average_gradients(self.optimization.parameters)
        return elbo.detach().clone(), self.optimization.step(step)  # a CUDA graph writes its output again in place


def compiled(part: Callable, compile: bool | str) -> Callable:
    """`part` through torch.compile, in its mode `compile` or, where that is true, its default; false: as it is."""
    return torch.compile(part, mode="default" if compile is True else compile) if compile else part
