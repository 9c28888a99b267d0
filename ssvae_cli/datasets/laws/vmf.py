"""z uniform on the sphere, z' near it: the law of prior=vmf.

Zimmermann et al. 2021, "Contrastive Learning Inverts the Data Generating Process".
"""

import torch

from ssvae_cli.datasets.laws.base import Drawn, Law
from ssvae_cli.distributions import von_mises_fisher
from ssvae_cli.distributions.spaces import SPACES, log_area
from ssvae_cli.errors import require_above, require_at_least


class VMF(Law):
    """z uniform on the unit sphere, z' von Mises-Fisher about z. truth: concentration."""

    def __init__(self, *, dim: int, concentration: float):
        require_at_least(2, dim=dim)
        require_above(0, concentration=concentration)
        super().__init__(dim=dim)
        self.truth = {"concentration": concentration}
        self.register_buffer("concentration", torch.tensor(concentration))

    def sample(self, count, generator):
        return Drawn(SPACES["sphere"].sample(torch.empty(count, self.dim), generator))

    def partner(self, z, shared, generator):
        return von_mises_fisher.sample(z, self.concentration, generator)

    def information(self):
        kappa = self.concentration.double()
        log_constant = von_mises_fisher.log_normaliser(kappa, self.dim) + log_area(self.dim)
        return (log_constant + kappa * von_mises_fisher.mean_cosine(kappa, self.dim)).item(), 0.0
