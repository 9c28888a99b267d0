"""What published methods put instead of an entropy: training maximises E log P and these, which is no ELBO.

They are added for each latent, also for those whose entropies the ELBO does not contain (`prior.marginal=encoder`)."""

import math

import torch
from torch import Tensor

from ssvae_cli.errors import require_above, require_at_least
from ssvae_cli.estimators.base import EntropyEstimator

NODES, FARTHEST = 17, 3.0  # of the quadrature over the frequencies of a characteristic function, from 0 to FARTHEST


class Regulariser(EntropyEstimator):
    """A term instead of H(z). The ELBO is not estimated in training; it is read afterwards on test."""

    estimates_elbo = False


class StopGrad(Regulariser):
    """0: E log P(z'|z) alone, z' without a gradient.

    The plug-in of BYOL, SimSiam and joint-embedding predictive architectures: z' comes from g itself or from an average
    of its past weights, and no gradient of log P reaches it. A constant z maximises E log P; that training stops before
    it is no property of the objective. Relation to H: none; the entropies are left out, and the gradient that would
    lower them with them. Relation to I: none. Relation to the ELBO: E log P alone, which is the ELBO less the
    entropies. No ceiling; low variance. Source: Grill et al. 2020; Chen & He 2021; Assran et al. 2023.
    """

    name = "stopgrad"
    needs_target = True
    needs_partner = True

    def forward(self, z, *, posterior, space, side, mixture=None):
        return z.new_zeros(())


class Sliced(Regulariser):
    """D (1/2 log(2 pi e) - weight T), T the mean of univariate Epps-Pulley tests of a^T z against N(0, 1).

    T = B int |E exp(i t a^T z) - exp(-t^2/2)|^2 exp(-t^2/2) dt, the mean over `slices` directions a, uniform on the
    sphere and drawn anew for each step and side; the integral from -3 to 3, by the trapezoidal rule. weight: of the
    test. Relation to H: that of N(0, I) less a penalty, which stands in the place of KL(Q(z) || N(0, I)) and is
    smallest where z is of that law: there T is about 1.05 for any B. Relation to I: none. Relation to the ELBO: none.
    Ceiling: D/2 log(2 pi e). Low variance. Source: Balestriero & LeCun 2025 (SIGReg of LeJEPA); Epps & Pulley 1983.
    """

    name = "sliced"
    spaces = frozenset({"euclidean"})

    def __init__(self, *, slices: int, weight: float):
        super().__init__()
        require_at_least(1, slices=slices)
        require_above(0, weight=weight)
        self.slices, self.weight = slices, weight

    def forward(self, z, *, posterior, space, side, mixture=None):
        directions = torch.randn(z.shape[1], self.slices, dtype=z.dtype, device=z.device)
        test = epps_pulley(z @ (directions / directions.norm(dim=0))).mean()
        return _of_standard_normal(z) - z.shape[1] * self.weight * test


class Hinges(Regulariser):
    """D (1/2 log(2 pi e) - variance mean_d max(0, std - std_d) - covariance 1/D sum_{d != e} C_de^2).

    C: the batch's covariance, std_d the roots of its diagonal plus 1e-4. variance, covariance: weights. Relation to H:
    with std = 1 equal to that of N(0, I) where z is of that law; a batch of covariance I or larger has no penalty,
    whatever its law. Relation to I: none. Relation to the ELBO: none but there. Ceiling: D/2 log(2 pi e).
    Low variance. Source: Bardes, Ponce & LeCun 2022 (VICReg).
    """

    name = "hinges"
    spaces = frozenset({"euclidean"})

    def __init__(self, *, std: float, variance: float, covariance: float):
        super().__init__()
        require_above(0, std=std)
        require_at_least(0, variance=variance, covariance=covariance)
        self.std, self.variance, self.covariance = std, variance, covariance

    def least_rows(self, space, dim):
        return 2

    def forward(self, z, *, posterior, space, side, mixture=None):
        self.require_rows(len(z), space, z.shape[1])
        around = z - z.mean(0)
        c = around.T @ around / (len(z) - 1)
        hinge = (self.std - (c.diagonal() + 1e-4).sqrt()).relu().mean()
        redundancy = (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]
        return _of_standard_normal(z) - z.shape[1] * (self.variance * hinge + self.covariance * redundancy)


def epps_pulley(projected: Tensor) -> Tensor:
    """T of each column against N(0, 1): [B, M] -> [M]."""
    t = torch.linspace(0, FARTHEST, NODES, dtype=projected.dtype, device=projected.device)
    of_normal = torch.exp(-0.5 * t**2)
    angles = projected[..., None] * t
    squared = (angles.cos().mean(0) - of_normal).square() + angles.sin().mean(0).square()
    return 2 * len(projected) * torch.trapezoid(squared * of_normal, t, dim=1)  # the integrand is even


def _of_standard_normal(z: Tensor) -> float:
    """H of N(0, I), nats."""
    return 0.5 * z.shape[1] * math.log(2 * math.pi * math.e)
