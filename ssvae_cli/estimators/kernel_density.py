"""Entropies by kernel densities, with the bandwidth fixed, by a rule, or learned."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ssvae_cli.distributed.collectives import all_gather, own_rows
from ssvae_cli.distributions.products import spheres_of
from ssvae_cli.distributions.spaces import Euclidean
from ssvae_cli.distributions.von_mises_fisher import log_normaliser
from ssvae_cli.errors import require_above
from ssvae_cli.estimators.base import EntropyEstimator

Kernel = Callable[[Tensor], Tensor]  # a bandwidth, [] -> log k(z_i, z_j), [b, B], of this process's own rows
RANGE, EVALUATIONS = 8.0, 18  # of the search for the likeliest bandwidth: Scott's times or over RANGE; golden sections
GOLDEN = (math.sqrt(5) - 1) / 2


class KDE(EntropyEstimator):
    """H(z) = -E log 1/(B-1) sum_{j != i} k(z_i, z_j), each sample left out of its own density.

    k: a normal kernel in coordinates of covariance I, or on the sphere a von Mises-Fisher kernel of concentration 1 /
    h^2, on several spheres a product of such. bandwidth: h, a number; `scott`, h^2 = B^(-2/(D+4)), on the sphere
    B^(-2/(D+3)) times the samples' variance along each of the D - 1 tangents (Scott 1992); `leave_one_out`, where the
    likelihood of the samples left out is largest, within 8 times Scott's (Duin 1976); `learned`, a multiple of Scott's
    that follows this likelihood by gradient, while the encoder follows the ELBO. order: 1, Shannon's entropy; 2,
    Renyi's, -log E_{i != j} k, at most Shannon's: on a sphere uniformity (Wang & Isola 2020) up to a constant, t = 1 /
    (2 h^2).

    Relation to I: none. Relation to the ELBO: biased up, by much in many dimensions, where the kernel is too wide for
    the data; of order 2 also down, by what Renyi's entropy lies below Shannon's. No ceiling; moderate variance.
    Source: Joe 1989 (the resubstitution estimate, leaving one out).
    """

    name = "kde"

    def __init__(
        self, *, bandwidth: Literal["scott", "leave_one_out", "learned"] | float = "scott", order: Literal[1, 2] = 1
    ):
        super().__init__()
        if not isinstance(bandwidth, str):
            require_above(0, bandwidth=bandwidth)
        self.bandwidth, self.order = bandwidth, order
        self.log_factor = nn.Parameter(torch.zeros(())) if bandwidth == "learned" else None  # of Scott's rule

    def least_rows(self, space, dim):
        return max(1, 0 if "sphere" in space.name else dim) + 1

    def forward(self, z, *, posterior, space, side, mixture=None):
        self.require_rows(len(z), space, z.shape[1])
        count, dim = z.shape
        if spheres := spheres_of(space, z):
            dim, parts = spheres[0].shape[1], len(spheres)
            apart = torch.stack([1 - part.detach().mean(0).square().sum() for part in spheres]).mean()
            scott = count ** (-1 / (parts * (dim - 1) + 4)) * (apart.clamp_min(1e-6) / (dim - 1)).sqrt()
            cosine, log_jacobian = sum(own_rows(part) @ part.T for part in spheres), z.new_zeros(())
            kernel = lambda h: h**-2 * cosine + parts * log_normaliser(h**-2, dim)
        else:
            u, log_jacobian = Euclidean.standardiser(z)(z)
            scott = z.new_full((), count ** (-1 / (dim + 4)))
            squared = torch.cdist(own_rows(u), u).square()
            kernel = lambda h: -0.5 * h**-2 * squared - dim * (h.log() + 0.5 * math.log(2 * math.pi))
        log_k = kernel(self._bandwidth(kernel, scott))
        return -_leave_one_out(log_k, self.order) - log_jacobian.mean()

    def _bandwidth(self, kernel: Kernel, scott: Tensor) -> Tensor:
        """h, []."""
        if self.bandwidth == "scott":
            return scott
        if self.bandwidth == "learned":
            log_h = scott.log() + self.log_factor.to(scott)
            return (2 * log_h.detach() - log_h).exp()  # its gradient reversed: what raises the ELBO lowers H here
        if self.bandwidth == "leave_one_out":
            return _likeliest(kernel, scott)
        return torch.full_like(scott, self.bandwidth)


@torch.no_grad()
def _likeliest(kernel: Kernel, scott: Tensor) -> Tensor:
    """The bandwidth of the largest leave-one-out likelihood, [], by golden sections of log h."""
    low, high = scott.log() - math.log(RANGE), scott.log() + math.log(RANGE)
    for _ in range(EVALUATIONS):
        width = GOLDEN * (high - low)
        below, above = high - width, low + width
        lower = _leave_one_out(kernel(below.exp())) > _leave_one_out(kernel(above.exp()))
        low, high = torch.where(lower, low, below), torch.where(lower, above, high)
    return (0.5 * (low + high)).exp()


def _leave_one_out(log_k: Tensor, order: int = 1) -> Tensor:
    """E log 1/(B-1) sum_{j != i} k_ij, []; of order 2 the log of the mean over all i != j. log_k: [b, B]."""
    count = log_k.shape[1]
    places = torch.arange(count, device=log_k.device)
    itself = own_rows(places)[:, None] == places
    log_sums = all_gather(log_k.masked_fill(itself, -math.inf).logsumexp(1) - math.log(count - 1))
    return log_sums.mean() if order == 1 else log_sums.logsumexp(0) - math.log(count)
