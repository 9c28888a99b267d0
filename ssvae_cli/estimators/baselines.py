"""Losses of methods without a prior P(z, z'), as baselines: training maximises minus the loss, which is no ELBO."""

import torch
from torch.nn import functional as F

from ssvae_cli.distributions.spaces import Euclidean
from ssvae_cli.errors import require_above, require_at_least, require_within
from ssvae_cli.estimators.base import PairEstimator


class CrossCorrelation(PairEstimator):
    """- sum_d (diagonal - C_dd)^2 - weight sum_{d != e} C_de^2, C = E u u'^T of u, u': z, z' of mean 0 and variance 1
    per dimension over the batch.

    diagonal: 1 in Barlow Twins. With 0 and weight 1 it asks for C = 0: of pairs of one class C = sum_c P(c) m_c m_c^T,
    m_c the mean of u in class c, so that no linear probe of least squares finds anything.

    Relation to H: none. Relation to I: none; with normal z, z' of the optimal C = 1, I is infinite. Relation to the
    ELBO: none, as there is no prior. Ceiling: 0. Low variance. Source: Zbontar et al. 2021 (Barlow Twins).
    """

    name = "cross_correlation"

    def __init__(self, *, weight: float, diagonal: float = 1.0):
        super().__init__()
        require_at_least(0, weight=weight)
        require_within(0, 1, diagonal=diagonal)
        self.weight, self.diagonal = weight, diagonal

    def forward(self, z, z_prime):
        u, u_prime = (F.batch_norm(side, None, None, training=True) for side in (z, z_prime))
        c = u.T @ u_prime / len(z)
        on, squared = c.diagonal(), c.square()
        return -(self.diagonal - on).square().sum() - self.weight * (squared.sum() - squared.diagonal().sum())


class Whitening(PairEstimator):
    """- E |u - u'|^2, u and u': z and z' whitened over the batch by its Cholesky factor, then of length 1.

    Relation to H: whitened z have the covariance I, whose normal entropy, `logdet`, is constant: what is left of the
    ELBO under `prior=vmf prior.concentration=2` on u is this and constants. Relation to I: none. Relation to the ELBO:
    none, as z itself has no prior. Ceiling: 0. Low variance if B >> D. Source: Ermolov et al. 2021 (W-MSE).
    """

    name = "whitening"

    def least_rows(self, space, dim):
        return Euclidean.least_samples(dim)

    def forward(self, z, z_prime):
        self.require_rows(len(z), Euclidean, z.shape[1])
        whitened = (Euclidean.standardiser(side)(side)[0] for side in (z, z_prime))
        u, u_prime = (F.normalize(side) for side in whitened)
        return -(u - u_prime).square().sum(1).mean()


class HSIC(PairEstimator):
    """HSIC(Z, Y) - penalty HSIC(Z, Z)^1/2, Y the source of a view: dependence of the latents on which x they come from.

    k(z, z') = c / (c^2 + |z - z'|^2)^1/2, c = scale. HSIC(Z, Y), up to a constant factor, is the mean k of a pair less
    the mean k of all 2 B latents; HSIC(Z, Z) = |H K H|^2 / (2 B - 1)^2, K the kernel of all 2 B latents, H the centring
    matrix. Relation to I: HSIC is 0 where I is, and no estimate of it. Relation to H and to the ELBO: none, as there is
    no prior. Ceiling: 1 / c. Low variance. Source: Li et al. 2021 (SSL-HSIC).
    """

    name = "hsic"

    def __init__(self, *, scale: float, penalty: float):
        super().__init__()
        require_above(0, scale=scale)
        require_at_least(0, penalty=penalty)
        self.scale, self.penalty = scale, penalty

    def forward(self, z, z_prime):
        both = torch.cat([z, z_prime])
        kernel = self.scale * (self.scale**2 + torch.cdist(both, both).square()).rsqrt()
        of_pairs = self.scale * (self.scale**2 + (z - z_prime).square().sum(1)).rsqrt()
        centred = kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
        with_itself = centred.square().sum() / (len(both) - 1) ** 2
        return of_pairs.mean() - kernel.mean() - self.penalty * (with_itself + 1e-12).sqrt()
