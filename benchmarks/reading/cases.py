"""Pairs (z, z') of which every density is known in closed form, to check what evaluation reads of them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.datasets.synthetic import SLOPE, InvertibleNetwork
from ssvae_cli.distributions import laplace, von_mises_fisher
from ssvae_cli.distributions.spaces import SPACES
from ssvae_cli.priors import VMF, ExplicitPrior, Gaussian, Laplace

CLUSTERS = 10


class Case(NamedTuple):
    """sample: (count, generator) -> (z, z'); log_q: log Q(z), log Q(z') and log Q(z, z') of pairs, [B] each."""

    prior: ExplicitPrior
    sample: Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
    log_q: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]

    def truth(self, pairs: tuple[Tensor, Tensor]) -> dict[str, float]:
        """The ELBO, I and KL in nats, means over these pairs."""
        of_z, of_z_prime, of_both = self.log_q(*(side.double() for side in pairs))
        log_p = self.prior.double().log_prob(*(side.double() for side in pairs))
        terms = {"elbo": log_p - of_z - of_z_prime, "mi": of_both - of_z - of_z_prime, "kl": of_both - log_p}
        return {name: values.mean().item() for name, values in terms.items()}


def normal_case(dim: int, scales: Tensor, warp: Callable | None = None) -> Case:
    """Normal latents with correlations between 0.95 and 0.4, rotated and scaled; warp: maps z, gives log |det| too."""
    generator = torch.Generator().manual_seed(dim)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    correlations = torch.linspace(0.95, 0.4, dim, dtype=torch.float64)
    matrix = rotation * scales.double()

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        s, e = torch.randn(2, count, dim, generator=generator, dtype=torch.float64)
        pair = (s, correlations * s + (1 - correlations**2).sqrt() * e)
        pair = (side @ matrix.T for side in pair)
        return tuple((warp.forward(side) if warp else side).float() for side in pair)

    def log_q(z: Tensor, z_prime: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sides, log_volumes = (z, z_prime), (0.0, 0.0)
        if warp:
            sides, log_volumes = zip(*(warp.inverse(side) for side in sides))
        s, s_prime = (torch.linalg.solve(matrix, side.T).T for side in sides)
        volume = matrix.det().abs().log() if dim < 32 else torch.linalg.slogdet(matrix)[1]
        of = [SPACES["euclidean"].log_prob(side) - volume + v for side, v in zip((s, s_prime), log_volumes)]
        step = (s_prime - correlations * s) / (1 - correlations**2).sqrt()
        conditional = SPACES["euclidean"].log_prob(step) - 0.5 * (1 - correlations**2).log().sum()
        return *of, of[0] + conditional - volume + log_volumes[1]

    return Case(Gaussian(latent_dim=dim, correlation=0.7, learn=False, covariance="correlation"), sample, log_q)


class Warp:
    """An invertible network with its log-determinant."""

    def __init__(self, dim: int):
        self.network = InvertibleNetwork(dim=dim, layers=3, seed=0).double()

    def forward(self, z: Tensor) -> Tensor:
        return self.network(z)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(z, log |dz/dx|)."""
        log_volume = 0.0
        for i in reversed(range(len(self.network.weights))):
            x = x @ self.network.weights[i]
            if i:
                log_volume = log_volume - (x < 0).double().sum(1) * math.log(SLOPE)
                x = F.leaky_relu(x, 1 / SLOPE)
        return x, log_volume


class Logistic:
    """R^D to the box."""

    def forward(self, z: Tensor) -> Tensor:
        return z.sigmoid()

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clamp(1e-7, 1 - 1e-7)
        return x.logit(), -(x.log() + (-x).log1p()).sum(1)


def clusters(dim: int) -> Case:
    """Ten normal clusters, within which z and z' are independent."""
    centres = 2 * torch.randn(2, CLUSTERS, dim, generator=torch.Generator().manual_seed(dim), dtype=torch.float64)

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        k = torch.randint(CLUSTERS, (count,), generator=generator)
        return tuple((c[k] + 0.5 * torch.randn(count, dim, generator=generator)).float() for c in centres)

    def log_q(z: Tensor, z_prime: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        of_each = [
            SPACES["euclidean"].log_prob(2 * (side[:, None] - c)) + dim * math.log(2)
            for side, c in zip((z, z_prime), centres)
        ]
        return tuple((table.logsumexp(1) - math.log(CLUSTERS)) for table in (*of_each, sum(of_each)))

    return Case(Gaussian(latent_dim=dim, correlation=0.7, learn=False, covariance="correlation"), sample, log_q)


def vmf(dim: int) -> Case:
    """Uniform on the sphere, with a step of concentration 10."""
    kappa = torch.tensor(10.0, dtype=torch.float64)

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        z = SPACES["sphere"].sample(torch.empty(count, dim), generator)
        return z, von_mises_fisher.sample(z, kappa, generator)

    def log_q(z: Tensor, z_prime: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        uniform = SPACES["sphere"].log_prob(z)
        step = von_mises_fisher.log_normaliser(kappa, dim) + kappa * (z * z_prime).sum(1)
        return uniform, uniform, uniform + step

    return Case(VMF(latent_dim=dim, concentration=5.0, learn=False), sample, log_q)


def vmf_clusters(dim: int) -> Case:
    """Ten clusters on the sphere of concentration 10 D, within which z and z' are independent."""
    generator = torch.Generator().manual_seed(dim)
    centres = [SPACES["sphere"].sample(torch.empty(CLUSTERS, dim), generator) for _ in range(2)]
    kappa = torch.tensor(10.0 * dim, dtype=torch.float64)

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        k = torch.randint(CLUSTERS, (count,), generator=generator)
        return tuple(von_mises_fisher.sample(c[k], kappa, generator) for c in centres)

    def log_q(z: Tensor, z_prime: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_c = von_mises_fisher.log_normaliser(kappa, dim)
        of_each = [log_c + kappa * side @ c.T.double() for side, c in zip((z, z_prime), centres)]
        return tuple((table.logsumexp(1) - math.log(CLUSTERS)) for table in (*of_each, sum(of_each)))

    return Case(VMF(latent_dim=dim, concentration=5.0, learn=False), sample, log_q)


def laplace_steps(dim: int) -> Case:
    """Normal z and a Laplace step of scale 0.3."""
    b = 0.3

    def sample(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        z = torch.randn(count, dim, generator=generator)
        return z, z + b * laplace.sample(z, generator)

    def log_q(z: Tensor, z_prime: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        of_z = SPACES["euclidean"].log_prob(z)
        of_step = (-(z_prime - z).abs() / b - math.log(2 * b)).sum(1)
        sides = [s * z_prime / b + torch.special.log_ndtr(-s * z_prime - 1 / b) for s in (1, -1)]
        of_z_prime = (0.5 / b**2 - math.log(2 * b) + torch.logaddexp(*sides)).sum(1)
        return of_z, of_z_prime, of_z + of_step

    return Case(Laplace(latent_dim=dim, scale=0.5, learn=False, space="euclidean"), sample, log_q)


CASES = {
    "normal": lambda dim: normal_case(dim, torch.ones(dim)),
    "thin normal": lambda dim: normal_case(dim, torch.logspace(0, -3, dim)),
    "clusters": clusters,
    "vmf": vmf,
    "vmf clusters": vmf_clusters,
    "laplace steps": laplace_steps,
    "warp": lambda dim: normal_case(dim, torch.ones(dim), Warp(dim)),
    "box": lambda dim: normal_case(dim, torch.ones(dim), Logistic())._replace(
        prior=Laplace(latent_dim=dim, scale=0.2, learn=False, space="box")
    ),
}
