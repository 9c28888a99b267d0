"""The ELBO, I and KL of categories on test: exact sums over the table of pairs, without the bias of few pairs."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ssvae_cli.distributions.products import join
from ssvae_cli.evaluation.estimate import Z95, Enclosed, Estimate
from ssvae_cli.priors import Categorical
from ssvae_cli.priors.explicit import Block

Latents = tuple[Tensor, Tensor]
AT_ONCE = 2**18  # frequencies that are computed at once: few enough for a cache


class Categories:
    """What Eqs. 17 and 23 say of the categories of test: Q(c, c') is the mean of Q(c|x) Q(c'|x'), every number the mean
    of a table over Q, which is a sum of a mean over pairs and of entropies of Q.

    The entropies of few pairs are too low, by about (K - 1) / 2n or, of both categories, (K^2 - 1) / 2n. So each number
    is that of the jackknife, whose pairs left out in turn give its error too; what it corrects is in the error, as rare
    combinations leave as much again. latents: the probabilities (z, z') of n pairs, [n, K] each. joint: the decoder is
    that of both views."""

    def __init__(self, prior: Categorical, latents: Latents, joint: bool = False):
        self.prior, self.joint, self.latents = prior, joint, tuple(z.double() for z in latents)
        z, z_prime = self.latents
        log = lambda q: q.clamp_min(torch.finfo(q.dtype).tiny).log()
        self.log_q, log_p = log(z.T @ z_prime / len(z)), prior.log_table.detach().double()
        self.log_q_of_c, self.log_q_of_c_prime = log(z.mean(0))[:, None], log(z_prime.mean(0))
        self.free = prior.marginal == "encoder"  # P(c) is Q(c)
        self.log_p = log_p - log_p.logsumexp(1, keepdim=True) + self.log_q_of_c if self.free else log_p
        self._entropies: dict[Block, tuple[Tensor, Tensor]] = {}

    def elbo(self) -> Enclosed:
        """E log P(c, c') - log Q(c) - log Q(c'), of a joint decoder E log P(c, c') - log Q(c, c')."""
        return self._jackknifed(self._known(), self.prior.entropies(self.joint))

    def information(self) -> Enclosed:
        """I(c; c')."""
        return self._jackknifed(torch.zeros_like(self._known()), {(0,): 1, (1,): 1, (0, 1): -1})

    def divergence(self) -> Enclosed:
        """KL(Q(c, c') || P(c, c'))."""
        return self._jackknifed(-self._known(), {block: -sign for block, sign in self.prior.entropies(True).items()})

    def marginal_divergence(self) -> Enclosed:
        """KL(Q(c) || P(c)); 0 where P(c) = Q(c)."""
        if self.free:
            return Enclosed(0.0, 0.0, 0.0, 0.0)
        with torch.no_grad():
            return self._jackknifed(-self.prior.log_marginal(self.latents[0]), {(0,): -1})

    def evidence(self) -> float:
        """E log sum_cc' Q(c|x) Q(c'|x') times the ratio whose log is in the ELBO (Eq. 14), nats: as far above the ELBO
        as these pairs say."""
        z, z_prime = self.latents
        whole = (z @ self._met(self.log_ratio).exp() * z_prime).sum(1).log() - (z @ self.log_ratio * z_prime).sum(1)
        return self.elbo().value + whole.mean().item()

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

    @torch.no_grad()
    def _known(self) -> Tensor:
        """What the ELBO contains of P, [n]."""
        return self.prior.log_density(self.latents)

    def _jackknifed(self, known: Tensor, signs: Mapping[Block, int]) -> Enclosed:
        """E known + sum of sign * H(Q of a block); known: [n], nats."""
        count, parts = len(known), [(sign, *self._entropy(block)) for block, sign in signs.items()]
        whole = known.mean() + sum(sign * of_all for sign, of_all, _ in parts)
        if count == 1:  # nothing is left when it is left out
            return Enclosed(whole.item(), math.nan, math.nan, math.nan)
        without = (known.sum() - known) / (count - 1) + sum(sign * rest for sign, _, rest in parts)
        value, error = Estimate.of_mean(count * whole - (count - 1) * without)
        error = math.hypot(error, value - whole.item())
        return Enclosed(value, error, value - Z95 * error, value + Z95 * error)

    def _entropy(self, block: Block) -> tuple[Tensor, Tensor]:
        """H of the categories of a block, [], nats, and without each of the pairs, [n]."""
        if block not in self._entropies:
            sides = [self.latents[view] for view in block]
            count, rows = len(sides[0]), max(1, AT_ONCE // math.prod(side.shape[1] for side in sides))
            total = sides[0].sum(0) if len(sides) == 1 else (sides[0].T @ sides[1]).flatten()
            pairs = (join(self.prior.space, part) for part in zip(*(side.split(rows) for side in sides)))
            without = torch.cat([entropy((total - of_pair) / max(1, count - 1)) for of_pair in pairs])
            self._entropies[block] = entropy(total / count), without
        return self._entropies[block]


def entropy(q: Tensor) -> Tensor:
    """H of probabilities, [..., C] -> [...], nats."""
    q = q.clamp_min(torch.finfo(q.dtype).tiny)  # 0, or just below it as a difference; 0 log 0 is 0
    return -(q * q.log()).sum(-1)  # twice as fast as torch.xlogy
