"""Critics: log f(z, z') in nats, the part of a prior that ties z to z'; float32 or better, under autocast too."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssvae_cli.device import dtype_name, full_precision
from ssvae_cli.errors import PartError, require_above, require_at_least
from ssvae_cli.instantiate.read_only import read_only
from ssvae_cli.layers import convolutions, mlp, require_widths

Image = tuple[int, int, int]  # C, H, W
AT_ONCE = {"cpu": 2**22, "cuda": 2**28}  # numbers that a table without gradient takes at once: in a CPU's cache


class Critic(nn.Module, ABC):
    """log f(z, z'). A subclass gives `table` and `pairs`; this class runs both without autocast."""

    stored_per_score = 4  # numbers that are stored per score of a table
    in_parts = True  # a table without gradient is computed some rows at a time, as it may take more than its scores

    @abstractmethod
    def table(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log f of all combinations, [B, D], [M, D] -> [B, M]."""

    @abstractmethod
    def pairs(self, z: Tensor, z_prime: Tensor) -> Tensor:
        """log f of the pairs alone, [B, D], [B, D] -> [B]."""

    def forward(self, z: Tensor, z_prime: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            z, z_prime = full_precision(z), full_precision(z_prime)
            if torch.is_grad_enabled() or not self.in_parts:
                return self.table(z, z_prime)
            rows = max(1, AT_ONCE[z.device.type] // (self.stored_per_score * len(z_prime)))
            return torch.cat([self.table(part, z_prime) for part in z.split(rows)])

    def paired(self, z: Tensor, z_prime: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return self.pairs(full_precision(z), full_precision(z_prime))


class Factored(Critic):
    """log f = k(a, b), an inner product or a function of a distance; all parameters are in a = a(z) and b = b(z').

    a and b are computed once per batch, so a table can be computed, and differentiated, one tile at a time."""

    in_parts = False

    @abstractmethod
    def factors(self, z: Tensor, z_prime: Tensor) -> tuple[Tensor, Tensor]:
        """[B, D], [M, D] -> a, [B, E], and b, [M, E]."""

    @abstractmethod
    def across(self, a: Tensor, b: Tensor) -> Tensor:
        """k of all combinations, which uses no parameter, [B, E], [M, E] -> [B, M]."""

    @abstractmethod
    def along(self, a: Tensor, b: Tensor) -> Tensor:
        """k of the pairs alone, [B, E], [B, E] -> [B]."""

    def factored(self, z: Tensor, z_prime: Tensor) -> tuple[Tensor, Tensor]:
        """`factors` in float32 or better."""
        with torch.autocast(z.device.type, enabled=False):
            return self.factors(full_precision(z), full_precision(z_prime))

    def table(self, z, z_prime):
        return self.across(*self.factors(z, z_prime))

    def pairs(self, z, z_prime):
        return self.along(*self.factors(z, z_prime))


class InnerProduct(Factored):
    """log f = a^T b."""

    def across(self, a, b):
        return a @ b.T

    def along(self, a, b):
        return (a * b).sum(1)


class Bilinear(InnerProduct):
    """log f = z^T W z' (Eq. 4; van den Oord et al. 2018). W is initially identity / sqrt(D), for scores near 1."""

    def __init__(self, *, latent_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(latent_dim) / math.sqrt(latent_dim))

    def factors(self, z, z_prime):
        return z @ self.weight, z_prime


class Cosine(InnerProduct):
    """log f = cos(z, z') / temperature, bounded by 1 / temperature (Chen et al. 2020, SimCLR)."""

    def __init__(self, *, temperature: float, learn_temperature: bool = False):
        super().__init__()
        require_above(0, temperature=temperature)
        log_temperature = torch.tensor(math.log(temperature))
        if learn_temperature:
            self.log_temperature = nn.Parameter(log_temperature)
        else:
            self.register_buffer("log_temperature", log_temperature)

    def factors(self, z, z_prime):
        return F.normalize(z) * torch.exp(-self.log_temperature), F.normalize(z_prime)


class BilinearBias(Bilinear):
    """log f = z^T W z' + a(z) + b(z'), a and b small networks: Eq. 4 alone cannot reach c(z) Q(z'|z) / Q(z')."""

    def __init__(self, *, latent_dim: int, hidden: list[int]):
        super().__init__(latent_dim=latent_dim)
        require_widths("hidden", hidden)
        self.left, self.right = (mlp([latent_dim, *hidden, 1]) for _ in range(2))

    def factors(self, z, z_prime):
        a, b = super().factors(z, z_prime)
        left, right = self.left(z), self.right(z_prime)
        return torch.cat([a, left, torch.ones_like(left)], 1), torch.cat([b, torch.ones_like(right), right], 1)


class Separable(InnerProduct):
    """log f = a(z)^T b(z') with two networks: the most flexible product, at B + M evaluations per table."""

    def __init__(self, *, latent_dim: int, hidden: list[int], embedding_dim: int):
        super().__init__()
        require_widths("hidden", hidden)
        require_at_least(1, embedding_dim=embedding_dim)
        self.left, self.right = (mlp([latent_dim, *hidden, embedding_dim]) for _ in range(2))
        self.scale = embedding_dim**-0.5

    def factors(self, z, z_prime):
        return self.left(z) * self.scale, self.right(z_prime)


class Convnet(Separable):
    """log f = a(x)^T b(y) with two networks, that of a side of images convolutional, any other as in Separable.

    width: channels of the first convolution. images: (C, H, W) of x and of y, each of which comes as rows of C H W
    numbers and zeros after them; None for a side of vectors."""

    def __init__(
        self,
        *,
        latent_dim: int,
        hidden: list[int],
        embedding_dim: int,
        width: int,
        images: tuple[Image | None, Image | None] = (None, None),
    ):
        super().__init__(latent_dim=latent_dim, hidden=hidden, embedding_dim=embedding_dim)
        require_at_least(1, width=width)
        self.pixels = [math.prod(shape or (latent_dim,)) for shape in images]
        if images[0]:
            self.left = convolutions(images[0], width, embedding_dim)
        if images[1]:
            self.right = convolutions(images[1], width, embedding_dim)

    def factors(self, z, z_prime):
        return super().factors(z[:, : self.pixels[0]], z_prime[:, : self.pixels[1]])


class Distance(Factored):
    """log f is a function of |a - b|^2, a and b being z and z' in units of a scale.
    Subclasses give the scale, scale() -> [] or [D], and of(squared), log f at |a - b|^2, elementwise."""

    def factors(self, z, z_prime):
        centre = z_prime.mean(0).detach()  # the origin does not change distances, only their rounding
        scale = self.scale()
        return (z - centre) / scale, (z_prime - centre) / scale

    def across(self, a, b):
        return self.of(((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T).clamp_min(0))

    def along(self, a, b):
        return self.of(((a - b) ** 2).sum(1))


class RBF(Distance):
    """log f = -|z - z'|^2 / (2 s^2), at most 0. The bandwidth s is learned from its initial value."""

    def __init__(self, *, bandwidth: float):
        super().__init__()
        require_above(0, bandwidth=bandwidth)
        self.log_bandwidth = nn.Parameter(torch.tensor(math.log(bandwidth)))

    def scale(self):
        return torch.exp(self.log_bandwidth)

    def of(self, squared):
        return -0.5 * squared


class DiagonalRBF(RBF):
    """log f = -sum_d (z_d - z'_d)^2 / (2 s_d^2): a bandwidth for each dimension."""

    def __init__(self, *, bandwidth: float, latent_dim: int):
        super().__init__(bandwidth=bandwidth)
        self.log_bandwidth = nn.Parameter(torch.full((latent_dim,), math.log(bandwidth)))


class Student(Distance):
    """log f = -(df + 1) / 2 log(1 + |z - z'|^2 / (df s^2)): heavy tails, as t-SNE's. The scale s is learned."""

    def __init__(self, *, df: float, scale: float):
        super().__init__()
        require_above(0, df=df, scale=scale)
        self.df = df
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def scale(self):
        return torch.exp(self.log_scale) * math.sqrt(self.df)

    def of(self, squared):
        return -0.5 * (self.df + 1) * torch.log1p(squared)


class Laplace(Factored):
    """log f = -|z - z'|_1 / b, at most 0. The scale b is learned from its initial value."""

    def __init__(self, *, scale: float):
        super().__init__()
        require_above(0, scale=scale)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def factors(self, z, z_prime):
        scale = torch.exp(self.log_scale)
        return z / scale, z_prime / scale

    def across(self, a, b):
        return -torch.cdist(a, b, p=1)

    def along(self, a, b):
        return -(a - b).abs().sum(1)


class MLP(Critic):
    """log f = network([z, z']), the concat critic: the most flexible f, at B M evaluations per table."""

    def __init__(self, *, latent_dim: int, hidden: list[int]):
        super().__init__()
        require_widths("hidden", hidden)
        # The first layer is a sum of linear maps of z and of z': a table needs B + M of them, not B M.
        self.left = nn.Linear(latent_dim, hidden[0])
        self.right = nn.Linear(latent_dim, hidden[0], bias=False)
        self.rest = mlp([*hidden, 1])
        self.stored_per_score = 4 + 2 * sum(hidden)

    def table(self, z, z_prime):
        return self.rest((self.left(z)[:, None] + self.right(z_prime)).relu_()).squeeze(-1)

    def pairs(self, z, z_prime):
        return self.rest(F.relu(self.left(z) + self.right(z_prime))).squeeze(-1)


@torch.no_grad()
def require_scores(critic: Critic, dim: int, key: str) -> None:
    """Raise PartError, naming the key, unless a critic gives of 3 z and 2 z', [., dim], a table [3, 2], and of 2 pairs
    2 scores, and leaves z and z' as they are. It is tried once, before training."""
    random = torch.Generator().manual_seed(0)
    z, z_prime = (torch.randn(count, dim, generator=random) for count in (3, 2))
    with read_only(f"{key}: {type(critic).__name__}", z=z, z_prime=z_prime):
        table, pairs = critic(z, z_prime), critic.paired(z[:2], z_prime)
    for what, gave, wanted in (("table", table, [3, 2]), ("pairs", pairs, [2])):
        shape = list(gave.shape) if isinstance(gave, Tensor) else type(gave).__name__
        if shape != wanted:
            taken = f"z, {list(z[: wanted[0]].shape)}, and z', {list(z_prime.shape)}"
            raise PartError(f"{key}: {type(critic).__name__}.{what} of {taken}, is {shape}, and must be {wanted}")
        if not gave.is_floating_point():
            raise PartError(f"{key}: {type(critic).__name__}.{what} gives {dtype_name(gave)}, and must give floats")
