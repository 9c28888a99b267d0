"""z' = A_k z + normal noise, a regime k drawn anew at each step: the law of prior=switching_dynamics."""

import math

import torch
from torch import Tensor

from ssvae_cli.datasets.laws.base import Drawn, Law, like, sample_information
from ssvae_cli.device import floats
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import require_at_least, require_below_one


class SwitchingDynamics(Law):
    """z and e standard normal, z' = persistence R_k z + sqrt(1 - persistence^2) e, k uniform on `components` regimes.

    R_k: random orthogonal matrices, fixed by the seed. In every regime z' is standard normal again. truth: weights, and
    transition, the A_k. I is a mean over samples of a fixed seed.
    """

    def __init__(self, *, dim: int, components: int, persistence: float, seed: int):
        super().__init__(dim=dim)
        require_at_least(1, components=components)
        require_below_one(persistence=persistence)
        self.components, self.std = components, math.sqrt(1 - persistence**2)
        generator = torch.Generator().manual_seed(seed + 1)
        square = torch.randn(components, dim, dim, generator=generator, dtype=torch.float64)
        transition = persistence * torch.linalg.qr(square).Q
        self.truth = {"weights": [1 / components] * components, "transition": transition.tolist()}
        self.register_buffer("transition", floats(transition))

    def sample(self, count, generator):
        return Drawn(torch.randn(count, self.dim, generator=generator))

    def partner(self, z, shared, generator):
        u = draw_rows(torch.rand, len(z), device=z.device, generator=generator)
        k = (u * self.components).long().clamp_max(self.components - 1)
        mean = torch.einsum("bij,bj->bi", self.transition[k], z)
        return mean + self.std * like(torch.randn, z, generator)

    def information(self):
        return sample_information(self, self._log_ratio)

    def _log_ratio(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log P(z'|z) / P(z'), [N, D] each -> [N], float64."""
        z, z_prime = z.double(), z_prime.double()
        means = torch.einsum("kij,bj->bki", self.transition.double(), z)
        given = -0.5 * ((z_prime[:, None] - means) / self.std).square().sum(2) - self.dim * math.log(self.std)
        return given.logsumexp(1) - math.log(self.components) + 0.5 * z_prime.square().sum(1)
