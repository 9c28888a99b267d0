"""The ELBO, I and KL of categories on test: exact sums over the table of pairs."""

import torch
from torch import Tensor

from ssvae_cli.evaluation.estimate import Z95, Enclosed, Estimate
from ssvae_cli.priors import Categorical

Latents = tuple[Tensor, Tensor]


class Categories:
    """What Eqs. 17 and 23 say of the categories of test: Q(c, c') is the mean of Q(c|x) Q(c'|x'), and every number the
    mean over Q of a table. Its error is that of sampling pairs: to first order, log Q itself adds nothing to it.

    latents: the probabilities (z, z') of n pairs, [n, K] each. joint: the decoder is that of both views."""

    def __init__(self, prior: Categorical, latents: Latents, joint: bool = False):
        self.joint, self.latents = joint, tuple(z.double() for z in latents)
        z, z_prime = self.latents
        log = lambda q: q.clamp_min(torch.finfo(q.dtype).tiny).log()
        self.log_q, self.log_p = log(z.T @ z_prime / len(z)), prior.log_table.detach().double()
        self.log_q_of_c, self.log_q_of_c_prime = log(z.mean(0))[:, None], log(z_prime.mean(0))
        if prior.marginal == "encoder":  # P(c) is Q(c)
            self.log_p = self.log_p - self.log_p.logsumexp(1, keepdim=True) + self.log_q_of_c

    def elbo(self) -> Enclosed:
        """E log P(c, c') - log Q(c) - log Q(c'), of a joint decoder E log P(c, c') - log Q(c, c')."""
        return self._mean(self.log_ratio)

    def information(self) -> Enclosed:
        """I(c; c')."""
        return self._mean(self.log_q - self.log_q_of_c - self.log_q_of_c_prime)

    def divergence(self) -> Enclosed:
        """KL(Q(c, c') || P(c, c'))."""
        return self._mean(self.log_q - self.log_p)

    def marginal_divergence(self) -> Enclosed:
        """KL(Q(c) || P(c))."""
        return self._mean((self.log_q_of_c - self.log_p.logsumexp(1, keepdim=True)).expand_as(self.log_p))

    def evidence(self) -> float:
        """E log sum_cc' Q(c|x) Q(c'|x') times the ratio whose log is in the ELBO (Eq. 14), nats."""
        z, z_prime = self.latents
        return (z @ self._met(self.log_ratio).exp() * z_prime).sum(1).log().mean().item()

    def scores(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log sum_cc' Q(c|x) Q(c'|x') P(c, c') / Q(c) Q(c') of any pairs, [B, K] each -> [B]."""
        return (z.double() @ self._to_marginals() * z_prime.double()).sum(1).log()

    def score_table(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """The same of all combinations, [n, K] and [m, K] -> [n, m]."""
        return (z.double() @ self._to_marginals() @ z_prime.double().T).log()

    def _to_marginals(self) -> Tensor:
        """P(c, c') / Q(c) Q(c'), [K, K]."""
        return self._met(self.log_p - self.log_q_of_c - self.log_q_of_c_prime).exp()

    def _met(self, table: Tensor) -> Tensor:
        """The table; 0 for pairs of categories that these latents never meet: of a ratio there nothing is known."""
        z, z_prime = self.latents
        return table.where(z.T @ z_prime > 0, 0.0)

    @property
    def log_ratio(self) -> Tensor:
        """log P(c, c') / Q(c) Q(c'), [K, K]; of a joint decoder log P(c, c') / Q(c, c')."""
        return self.log_p - (self.log_q if self.joint else self.log_q_of_c + self.log_q_of_c_prime)

    def _mean(self, table: Tensor) -> Enclosed:
        z, z_prime = self.latents
        value, error = Estimate.of_mean((z @ table * z_prime).sum(1))
        return Enclosed(value, error, value - Z95 * error, value + Z95 * error)
