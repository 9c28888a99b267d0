"""z' = A z + normal noise, stationary: the law of prior=linear_dynamics."""

import math

import torch

from ssvae_cli.datasets.laws.base import Drawn, Law, PerDimension, like, per_dimension
from ssvae_cli.device import floats
from ssvae_cli.errors import require


class LinearDynamics(Law):
    """z standard normal, z' = A z + noise of covariance I - A A^T, so that z' is standard normal too.

    A turns each pair of coordinates by its `rotation` (radians a step; of an odd number, the last stays) and shrinks
    coordinate d by persistence_d, in [0, 1). Any stationary linear normal process has such coordinates, with A a
    contraction. truth: spectral_radius and transition, A. I = -1/2 log det(I - A A^T).
    """

    def __init__(self, *, dim: int, persistence: PerDimension, rotation: PerDimension):
        super().__init__(dim=dim)
        shrink = per_dimension("persistence", persistence, dim)
        require(bool(((shrink >= 0) & (shrink < 1)).all()), f"persistence must lie in [0, 1), got {persistence}")
        angles = per_dimension("rotation", rotation, dim // 2, "dim // 2").tolist()
        turns = [[[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]] for a in angles]
        blocks = [torch.tensor(turn, dtype=torch.float64) for turn in (*turns, *[[[1.0]]] * (dim % 2))]
        turns = torch.block_diag(*blocks)
        transition = shrink[:, None] * turns
        covariance = torch.eye(dim, dtype=torch.float64) - transition @ transition.T
        radius = torch.linalg.eigvals(transition).abs().max().item()
        self.truth = {"spectral_radius": radius, "transition": transition.tolist()}
        self.log_determinant = torch.logdet(covariance).item()
        self.register_buffer("transition", floats(transition))
        self.register_buffer("root", floats(torch.linalg.cholesky(covariance)))

    def sample(self, count, generator):
        return Drawn(torch.randn(count, self.dim, generator=generator))

    def partner(self, z, shared, generator):
        return z @ self.transition.T + like(torch.randn, z, generator) @ self.root.T

    def information(self):
        return -0.5 * self.log_determinant, 0.0
