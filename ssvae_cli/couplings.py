"""Couplings: log f(z, z') in nats, the part of a prior that ties z to z'.

A coupling answers with a table over all combinations, forward(z: [B, D], z': [M, D]) -> [B, M], and with
the pairs alone, paired(z: [B, D], z': [B, D]) -> [B]. Both are float32 or better, under autocast too.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.errors import require


def full_precision(z: Tensor) -> Tensor:
    """Half precision raised to float32, float32 and float64 as they are."""
    return z.float() if z.dtype in (torch.float16, torch.bfloat16) else z


class Coupling(nn.Module):
    """log f(z, z'). Subclasses give `table` and `pairs`; this class keeps them out of autocast."""

    def table(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """[B, D], [M, D] -> [B, M]."""
        raise NotImplementedError

    def pairs(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """[B, D], [B, D] -> [B]."""
        raise NotImplementedError

    def forward(self, z: Tensor, z_prime: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return self.table(full_precision(z), full_precision(z_prime))

    def paired(self, z: Tensor, z_prime: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return self.pairs(full_precision(z), full_precision(z_prime))


class Bilinear(Coupling):
    """log f = z^T W z' (Eq. 4; van den Oord et al. 2018). W starts as identity / sqrt(D), so scores start near 1."""

    def __init__(self, *, latent_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(latent_dim) / math.sqrt(latent_dim))

    def table(self, z, z_prime):
        return z @ self.weight @ z_prime.T

    def pairs(self, z, z_prime):
        return (z @ self.weight * z_prime).sum(1)


class Cosine(Coupling):
    """log f = cos(z, z') / temperature, bounded by 1 / temperature (Chen et al. 2020, SimCLR)."""

    def __init__(self, *, temperature: float, learn_temperature: bool = False):
        super().__init__()
        require(temperature > 0, f"prior.coupling.temperature must be above 0, got {temperature}")
        log_temperature = torch.tensor(math.log(temperature))
        if learn_temperature:
            self.log_temperature = nn.Parameter(log_temperature)
        else:
            self.register_buffer("log_temperature", log_temperature)

    def table(self, z, z_prime):
        return F.normalize(z) @ F.normalize(z_prime).T * torch.exp(-self.log_temperature)

    def pairs(self, z, z_prime):
        return (F.normalize(z) * F.normalize(z_prime)).sum(1) * torch.exp(-self.log_temperature)


class BilinearBias(Bilinear):
    """log f = z^T W z' + a(z) + b(z'), a and b small networks: what (4) lacks to reach c(z) Q(z'|z) / Q(z')."""

    def __init__(self, *, latent_dim: int, hidden: list[int]):
        super().__init__(latent_dim=latent_dim)
        require(len(hidden) > 0 and min(hidden) > 0, f"hidden widths must be at least 1, got {list(hidden)}")
        self.left, self.right = (mlp([latent_dim, *hidden, 1]) for _ in range(2))

    def table(self, z, z_prime):
        return super().table(z, z_prime) + self.left(z) + self.right(z_prime).T

    def pairs(self, z, z_prime):
        return super().pairs(z, z_prime) + (self.left(z) + self.right(z_prime)).squeeze(1)


class RBF(Coupling):
    """log f = -|z - z'|^2 / (2 s^2), at most 0. The bandwidth s is learned from its starting value.

    latent_dim: gives every dimension a bandwidth of its own; None, one for all.
    """

    def __init__(self, *, bandwidth: float, latent_dim: int | None = None):
        super().__init__()
        require(bandwidth > 0, f"prior.coupling.bandwidth must be above 0, got {bandwidth}")
        start = math.log(bandwidth)
        self.log_bandwidth = nn.Parameter(torch.full((latent_dim,), start) if latent_dim else torch.tensor(start))

    def table(self, z, z_prime):
        return -0.5 * squared_distances(*self._scaled(z, z_prime))

    def pairs(self, z, z_prime):
        z, z_prime = self._scaled(z, z_prime)
        return -0.5 * ((z - z_prime) ** 2).sum(1)

    def _scaled(self, z, z_prime):
        scale = torch.exp(-self.log_bandwidth)
        return z * scale, z_prime * scale


class Laplace(Coupling):
    """log f = -|z - z'|_1 / b, at most 0. The scale b is learned from its starting value."""

    def __init__(self, *, scale: float):
        super().__init__()
        require(scale > 0, f"prior.coupling.scale must be above 0, got {scale}")
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def table(self, z, z_prime):
        return -torch.cdist(z, z_prime, p=1) * torch.exp(-self.log_scale)

    def pairs(self, z, z_prime):
        return -(z - z_prime).abs().sum(1) * torch.exp(-self.log_scale)


class Student(Coupling):
    """log f = -(df + 1) / 2 log(1 + |z - z'|^2 / (df s^2)): heavy tails, as t-SNE's. The scale s is learned."""

    def __init__(self, *, df: float, scale: float):
        super().__init__()
        require(df > 0, f"prior.coupling.df must be above 0, got {df}")
        require(scale > 0, f"prior.coupling.scale must be above 0, got {scale}")
        self.df = df
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def table(self, z, z_prime):
        return self._of(squared_distances(z, z_prime))

    def pairs(self, z, z_prime):
        return self._of(((z - z_prime) ** 2).sum(1))

    def _of(self, squared):
        return -0.5 * (self.df + 1) * torch.log1p(squared * torch.exp(-2 * self.log_scale) / self.df)


def squared_distances(z: Tensor, z_prime: Tensor) -> Tensor:
    """|z_i - z'_j|^2, [B, D], [M, D] -> [B, M]."""
    centre = z_prime.mean(0)  # distances do not move with the origin, but their rounding does
    z, z_prime = z - centre, z_prime - centre
    squared = (z**2).sum(1)[:, None] + (z_prime**2).sum(1) - 2 * z @ z_prime.T
    return squared.clamp_min(0)


def mlp(widths: list[int]) -> nn.Sequential:
    """Linear layers between the `widths`, with ReLU between them."""
    layers: list[nn.Module] = []
    for i, o in zip(widths, widths[1:]):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class MLP(Coupling):
    """log f = network([z, z']), the concat critic: the freest f, at B M evaluations for a table."""

    def __init__(self, *, latent_dim: int, hidden: list[int]):
        super().__init__()
        require(len(hidden) > 0 and min(hidden) > 0, f"hidden widths must be at least 1, got {list(hidden)}")
        # The first layer is linear in z and z' apart, so a table needs it B + M times and not B M times.
        self.left = nn.Linear(latent_dim, hidden[0])
        self.right = nn.Linear(latent_dim, hidden[0], bias=False)
        self.rest = mlp([*hidden, 1])

    def table(self, z, z_prime):
        return self.rest(F.relu(self.left(z)[:, None] + self.right(z_prime))).squeeze(-1)

    def pairs(self, z, z_prime):
        return self.rest(F.relu(self.left(z) + self.right(z_prime))).squeeze(-1)


class Separable(Coupling):
    """log f = a(z)^T b(z') with two networks: as free as a product allows, at B + M evaluations for a table."""

    def __init__(self, *, latent_dim: int, hidden: list[int], embedding_dim: int):
        super().__init__()
        require(len(hidden) > 0 and min(hidden) > 0, f"hidden widths must be at least 1, got {list(hidden)}")
        require(embedding_dim > 0, f"embedding_dim must be at least 1, got {embedding_dim}")
        self.left = mlp([latent_dim, *hidden, embedding_dim])
        self.right = mlp([latent_dim, *hidden, embedding_dim])
        self.scale = embedding_dim**-0.5

    def table(self, z, z_prime):
        return self.left(z) @ self.right(z_prime).T * self.scale

    def pairs(self, z, z_prime):
        return (self.left(z) * self.right(z_prime)).sum(1) * self.scale
