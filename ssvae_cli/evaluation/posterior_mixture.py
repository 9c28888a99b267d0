"""log Q(z) of a stochastic encoder, enclosed by the mixture of its posteriors."""

import math

import torch
from torch import Tensor

from ssvae_cli.evaluation.estimate import Estimate, error_of_groups
from ssvae_cli.priors import Encoded

ROWS = 256  # anchors whose log densities are computed at once
Sides = tuple[int, ...]  # of which latents: (0,) is z, (1,) is z', (0, 1) the pair


class PosteriorMixture:
    """Q(z) = E_x Q(z|x) over the n sources that were encoded, for the latents of some of them, the anchors.

    With z of source i, -E log 1/n sum_j Q(z|x_j) is at most H(z), and without j = i at least H(z), in expectation.
    """

    def __init__(self, encoded: list[Encoded], anchors: Tensor):
        self.anchors = anchors
        sides = zip(*(e.latents for e in encoded)), zip(*(e.posteriors for e in encoded))
        self.tables = [self._table(torch.cat(z)[anchors], posteriors) for z, posteriors in zip(*sides)]

    @staticmethod
    def _table(z: Tensor, posteriors) -> Tensor:
        """log Q(z_a|x_j), [anchors, n]."""
        return torch.cat([torch.cat([q.log_prob_table(rows) for q in posteriors], 1) for rows in z.split(ROWS)])

    def log_q(self, sides: Sides, own: bool) -> tuple[Tensor, Tensor]:
        """log Q of the anchors, [m], with their own source or without; and how it depends on each source, [n].

        The second is n times the mean share of the source in the mixture, less 1: its influence as a component."""
        table = sum(self.tables[side] for side in sides).double()
        count = table.shape[1]
        if not own:
            table = table.scatter(1, self.anchors[:, None], -math.inf)
            count -= 1
        return table.logsumexp(1) - math.log(count), table.softmax(1).mean(0) * table.shape[1] - 1

    def enclose(self, known: Tensor, signs: dict[Sides, int]) -> tuple[Estimate, Estimate]:
        """The lower and the upper end of E [known + sum of sign * log Q]; known: [m].

        The errors are over sources, each of which is an anchor and a component (infinitesimal jackknife)."""
        ends = []
        for upper in (False, True):
            terms, influence = known.double(), torch.zeros_like(self.tables[0][0], dtype=torch.float64)
            for sides, sign in signs.items():
                of_sides, components = self.log_q(sides, own=(sign > 0) == upper)
                terms, influence = terms + sign * of_sides, influence + sign * components
            influence = influence / len(influence)
            influence[self.anchors] += (terms - terms.mean()) / len(terms)
            error = influence.square().sum().sqrt().item()
            ends.append(Estimate(terms.mean().item(), error_of_groups(error, len(terms))))
        return ends[0], ends[1]
