"""Closed forms on correlated normals: z, z' standard normal with correlation rho in each dimension (nats)."""

import math

import torch
from torch import Tensor

from ssvae_cli.critics import RBF, Bilinear, Critic
from ssvae_cli.distributions.von_mises_fisher import log_normaliser
from ssvae_cli.estimators import DV, NWJ, LeaveOneOut, LogDet
from ssvae_cli.estimators import InfoNCE as KWay
from ssvae_cli.evaluation.estimate import Estimate
from ssvae_cli.priors import Encoded
from ssvae_cli.priors.energy import Energy
from ssvae_cli.priors.gaussian import Gaussian
from ssvae_cli.priors.infonce import InfoNCE
from ssvae_cli.priors.mi import MI
from ssvae_cli.priors.unstructured import UnstructuredNormal
from ssvae_cli.verify.check import Check

RHO, B, S, R = 0.6, 0.4, 1.3, 0.3
BATCHES, SIZE = 64, 384
JENSEN = 5e-3  # bias of the log of a mean of SIZE terms, per dimension


class Optimal(Critic):
    """log Q(z'|z) / Q(z') + shift of normals with correlation rho in each dimension: the optimal critic."""

    def __init__(self, rho: float, shift: float = 0.0):
        super().__init__()
        self.rho, self.shift = rho, shift

    def table(self, z, z_prime):
        return self._of((z**2).sum(1)[:, None], (z_prime**2).sum(1), z @ z_prime.T, z.shape[1])

    def pairs(self, z, z_prime):
        return self._of((z**2).sum(1), (z_prime**2).sum(1), (z * z_prime).sum(1), z.shape[1])

    def _of(self, square, square_prime, product, dim):
        rho, variance = self.rho, 1 - self.rho**2  # of z' given z
        quadratic = (rho * product - 0.5 * rho**2 * (square + square_prime)) / variance
        return quadratic - 0.5 * dim * math.log(variance) + self.shift


def normal_pairs(count: int, dim: int, rho: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(z, z'), [count, dim] each, float64."""
    z, e = torch.randn(2, count, dim, dtype=torch.float64, generator=generator)
    return z, rho * z + math.sqrt(1 - rho**2) * e


@torch.no_grad()
def checks(generator: torch.Generator) -> list[Check]:
    """All closed forms, of priors with scores and of explicit priors."""
    batches = [normal_pairs(SIZE, 3, RHO, generator) for _ in range(BATCHES)]

    def estimate(prior, estimator, dims, batches=batches):
        """The training objective: shipped prior, critic and estimator, with a standard error over batches."""
        latents = [tuple(z[:, :dims] for z in batch[: prior.views]) for batch in batches]
        encoded = [Encoded(sides, (None,) * prior.views) for sides in latents]
        return Estimate.of_mean(torch.stack([prior.double().elbo(estimator, e) for e in encoded]))

    def bilinear(weight: Tensor):
        critic = Bilinear(latent_dim=len(weight)).double()
        critic.weight.data = weight.double()
        return critic

    scored = lambda kind, critic: kind(critic=critic, direction="forward")
    b = lambda size, dims=1: bilinear(size * torch.eye(dims))
    i = -0.5 * math.log(1 - RHO**2)
    of_rbf = -(1 - RHO) / S**2 - math.log(S / math.sqrt(S**2 + 1)) + 1 / (2 * (S**2 + 1))
    of_gaussian = lambda r: -0.5 * math.log(1 - r**2) - (1 - r * RHO) / (1 - r**2) + 1
    fixed = lambda r: Gaussian(latent_dim=2, correlation=r, learn=False, covariance="correlation")
    full = lambda r: Gaussian(latent_dim=2, correlation=r, learn=True, covariance="full")
    rows = [
        ("(25)", "I by infonce, the best critic", i, scored(MI, Optimal(RHO)), KWay(), 1),
        ("(25)", "I by dv, the best critic", i, scored(MI, Optimal(RHO)), DV(), 1),
        ("(25)", "I by nwj, the best critic", i, scored(MI, Optimal(RHO, 1.0)), NWJ(), 1),
        ("(30)", "bilinear: b rho - b^2/2", B * RHO - B**2 / 2, scored(InfoNCE, b(B)), LeaveOneOut(), 1),
        ("(30)", "the same in 3 dimensions", 3 * (B * RHO - B**2 / 2), scored(InfoNCE, b(B, 3)), LeaveOneOut(), 3),
        ("(30)", "the best b: rho^2/2, below I", RHO**2 / 2, scored(InfoNCE, b(RHO)), LeaveOneOut(), 1),
        ("(30)", "rbf", of_rbf, scored(InfoNCE, RBF(bandwidth=S)), LeaveOneOut(), 1),
        ("(30)", "rbf in 3 dimensions", 3 * of_rbf, scored(InfoNCE, RBF(bandwidth=S)), LeaveOneOut(), 3),
        ("(23)", "energy, bilinear: b rho + log(1 - b^2)/2", B * RHO + 0.5 * math.log(1 - B**2),
         scored(Energy, b(B)), DV(), 1),
        ("(17)", "gaussian, correlation r", 2 * of_gaussian(R), fixed(R), LogDet(), 2),
        ("(17)", "gaussian, r = rho: I", 2 * i, fixed(RHO), LogDet(), 2),
        ("(17)", "gaussian, full covariance", 2 * of_gaussian(R), full(R), LogDet(), 2),
        ("(9)", "unstructured_normal on its own samples: 0", 0.0, UnstructuredNormal(), LogDet(), 3),
    ]  # fmt: skip
    results = [
        Check(*claim, *estimate(prior, estimator, dims), slack=JENSEN * dims) for *claim, prior, estimator, dims in rows
    ]

    # z and z' with any covariance, and any matrix W.
    root, mixing, weight = torch.randn(3, 3, 3, dtype=torch.float64, generator=generator).unbind()
    root, mixing, weight = 0.8 * torch.eye(3) + 0.5 * root.tril(-1), RHO * torch.linalg.qr(mixing).Q, 0.25 * weight
    noise = math.sqrt(1 - RHO**2) * torch.randn(BATCHES, SIZE, 3, dtype=torch.float64, generator=generator)
    skewed = [(z @ root.T, (z @ mixing + e) @ root) for (z, _), e in zip(batches, noise)]
    s, s_prime, c = root @ root.T, root.T @ root, root @ mixing @ root
    expected = (torch.trace(weight.T @ c) - 0.5 * torch.trace(weight.T @ s @ weight @ s_prime)).item()
    of_scores = estimate(scored(InfoNCE, bilinear(weight)), LeaveOneOut(), 3, skewed)
    results.append(Check("(30)", "z^T W z': tr(W^T C) - tr(W^T S W S')/2", expected, *of_scores, slack=3 * JENSEN))
    expected = -0.5 * (torch.trace(s) - 3 - torch.logdet(s)).item()
    of_density = estimate(UnstructuredNormal(), LogDet(), 3, skewed)
    results.append(Check("(9)", "unstructured_normal on N(0, S): -KL", expected, *of_density, slack=3 * JENSEN))

    for kappa in (1e-3, 1.0, 30.0):
        exact = math.log(kappa / (2 * math.pi * -math.expm1(-2 * kappa))) - kappa
        value = log_normaliser(torch.tensor(kappa, dtype=torch.float64), 3).item()
        results.append(Check("", f"vmf: log C_3(kappa), kappa = {kappa:g}", exact, value, slack=1e-9))
    return results
