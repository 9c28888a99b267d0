"""The categorical prior: a table of probabilities P(c, c')."""

import math

import torch
from torch import Tensor, nn

from ssvae_cli.distributions.spaces import Simplex
from ssvae_cli.errors import require
from ssvae_cli.priors.explicit import ExplicitPrior


class Categorical(ExplicitPrior):
    """P(c, c') over pairs of K categories, K the dimension of z; z and z' are the probabilities Q(c|x) and Q(c'|x').

    log P(z, z') = sum_cc' z_c z'_c' log P(c, c'), the exact expectation: the ELBO is E log P(c, c') + H(c) + H(c'), at
    most I(c; c') and log K, and reaches I where the table is Q's. agreement: P(c' = c), the rest spread evenly; where
    learning starts. uniform: P(c) and P(c') are 1/K at the start; true keeps P(c) there, and P(c'|c) alone is learned.
    """

    space = Simplex
    law = ("agreement",)
    fixed_by = {"learn": [False]}

    def __init__(self, *, latent_dim: int, agreement: float, uniform: bool, learn: bool, **common):
        super().__init__(**common)
        require(latent_dim >= 2, f"categories need encoder.latent_dim, their number, of at least 2, got {latent_dim}")
        require(0 < agreement < 1, f"agreement must lie between 0 and 1, both excluded, got {agreement}")
        self.uniform, self.largest_elbo = uniform, math.log(latent_dim)
        others = (1 - agreement) / (latent_dim - 1)
        start = torch.full((latent_dim, latent_dim), math.log(others)).fill_diagonal_(math.log(agreement))
        self.logits = nn.Parameter(start, requires_grad=learn)

    @property
    def log_table(self) -> Tensor:
        """log P(c, c'), [K, K]."""
        if self.uniform:
            return self.logits.log_softmax(1) - math.log(len(self.logits))
        return self.logits.flatten().log_softmax(0).view_as(self.logits)

    @property
    def agreement(self) -> Tensor:
        """P(c' = c), []."""
        return self.log_table.diagonal().exp().sum()

    def log_prob(self, z: Tensor, z_prime: Tensor) -> Tensor:
        return (z @ self.log_table.to(z) * z_prime).sum(-1)

    def log_marginal(self, z: Tensor, side: int = 0) -> Tensor:
        return z @ self.log_table.to(z).logsumexp(1 - side)

    def clusters(self, z: Tensor) -> Tensor:
        return z.argmax(-1)

    @torch.no_grad()
    def sample(self, count: int, dim: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """One-hot categories."""
        pairs = self.log_table.exp().flatten().multinomial(count, replacement=True, generator=generator)
        one_hot = torch.eye(dim).to(self.logits)
        return one_hot[pairs // dim], one_hot[pairs % dim]
