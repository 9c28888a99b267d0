"""z' is z a moment later in Lorenz's system, and normal noise: dynamics that are neither linear nor of a prior's law.

Lorenz 1963, "Deterministic Nonperiodic Flow".
"""

import math

import torch
from torch import Tensor

from ssvae_cli.datasets.laws.base import Drawn, Law, like
from ssvae_cli.errors import require, require_above

SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3
MEAN, STD = (0.0, 0.0, 23.58), (7.93, 9.0, 8.6)  # of the system's x, y, z over time, whose units z is free of
STEP = 0.01  # of the integration, Runge-Kutta of order 4
BURN = 5.0  # units of time after which a start by chance is a sample


class Lorenz(Law):
    """`dim` / 3 independent systems, each of mean 0 and variance about 1, `interval` units of time from z to z'.

    z' = flow(z) + noise * e, e normal. truth: noise. I is not known.
    """

    def __init__(self, *, dim: int, interval: float, noise: float):
        super().__init__(dim=dim)
        require(dim % 3 == 0, f"dim must be a multiple of 3 for dataset/law=lorenz, got {dim}")
        require_above(0, interval=interval, noise=noise)
        self.truth = {"noise": [noise] * dim}
        self.interval, self.noise = interval, noise
        self.register_buffer("mean", torch.tensor(MEAN))
        self.register_buffer("std", torch.tensor(STD))

    def sample(self, count, generator):
        z = torch.randn(count, self.dim, generator=generator)
        for _ in range(math.ceil(BURN / self.interval)):
            z = self.partner(z, None, generator)
        return Drawn(z)

    def partner(self, z, shared, generator):
        return self.flow(z) + self.noise * like(torch.randn, z, generator)

    def flow(self, z: Tensor) -> Tensor:
        """z after `interval`, without noise, [B, D] -> [B, D]."""
        s = z.unflatten(1, (-1, 3)) * self.std + self.mean
        steps = math.ceil(self.interval / STEP)
        h = self.interval / steps
        for _ in range(steps):
            a = velocity(s)
            b = velocity(s + 0.5 * h * a)
            c = velocity(s + 0.5 * h * b)
            s = s + h / 6 * (a + 2 * b + 2 * c + velocity(s + h * c))
        return ((s - self.mean) / self.std).flatten(1)


def velocity(s: Tensor) -> Tensor:
    """ds/dt of the system, [..., 3] -> [..., 3]."""
    x, y, z = s.unbind(-1)
    return torch.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z], -1)
