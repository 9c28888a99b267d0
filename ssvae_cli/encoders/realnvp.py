"""An invertible encoder: affine coupling layers between fixed permutations (RealNVP, Dinh et al. 2017)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Shape
from ssvae_cli.distributions.spaces import SPACES, Space
from ssvae_cli.encoders.base import Encoder
from ssvae_cli.encoders.posteriors import Family
from ssvae_cli.errors import require, require_at_least
from ssvae_cli.layers import mlp, require_widths

BOUND = 2.0  # of the log scale of a coupling: keeps the inverse accurate


class Coupling(nn.Module):
    """The first half of the coordinates stays, and the second is scaled and shifted by a network of the first."""

    def __init__(self, dim: int, hidden: list[int]):
        super().__init__()
        self.fixed = dim // 2
        self.network = mlp([self.fixed, *hidden, 2 * (dim - self.fixed)])
        for parameter in self.network[-1].parameters():  # initially the identity
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """[B, D] -> the same, and the log-determinant of its Jacobian, [B]."""
        fixed, moved = h[:, : self.fixed], h[:, self.fixed :]
        log_scale, shift = self._parameters_of(fixed)
        return torch.cat([fixed, moved * log_scale.exp() + shift], 1), log_scale.sum(1)

    def inverse(self, h: Tensor) -> Tensor:
        """[B, D] -> [B, D]."""
        fixed, moved = h[:, : self.fixed], h[:, self.fixed :]
        log_scale, shift = self._parameters_of(fixed)
        return torch.cat([fixed, (moved - shift) * (-log_scale).exp()], 1)

    def _parameters_of(self, fixed: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.network(fixed).chunk(2, dim=1)
        return BOUND * torch.tanh(raw / BOUND), shift


class RealNVP(nn.Module):
    """x, flattened, through `layers` couplings, each after a fixed random permutation of the D coordinates, and last a
    learned scale and shift of each."""

    def __init__(self, *, shape: Shape, layers: int, hidden: list[int]):
        super().__init__()
        require_at_least(1, layers=layers)
        require_widths("hidden", hidden)
        self.shape, self.out_dim = tuple(shape), math.prod(shape)
        require(self.out_dim >= 2, f"encoder=realnvp needs an x of at least 2 numbers, and one x is {list(shape)} here")
        self.couplings = nn.ModuleList(Coupling(self.out_dim, hidden) for _ in range(layers))
        self.register_buffer("orders", torch.stack([torch.randperm(self.out_dim) for _ in range(layers)]))
        self.log_scale = nn.Parameter(torch.zeros(self.out_dim))
        self.shift = nn.Parameter(torch.zeros(self.out_dim))

    def forward(self, x: Tensor) -> Tensor:
        """[B, *shape] -> [B, D]."""
        return self.with_log_det(x)[0]

    def with_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, *shape] -> h, [B, D], and log |det dh/dx|, [B]."""
        h = x.flatten(1)
        total = self.log_scale.sum()
        for order, coupling in zip(self.orders, self.couplings):
            h, log_det = coupling(h[:, order])
            total = total + log_det
        return h * self.log_scale.exp() + self.shift, total

    def inverse(self, h: Tensor) -> Tensor:
        """[B, D] -> the x that `forward` maps there, [B, *shape]."""
        h = (h - self.shift) * (-self.log_scale).exp()
        for order, coupling in reversed(list(zip(self.orders, self.couplings))):
            h = coupling.inverse(h)[:, order.argsort()]
        return h.unflatten(1, self.shape)


class InvertibleEncoder(Encoder):
    """An encoder whose location parameters of Q(z|x), the first D, are an invertible map of x: z, if it is a delta in
    R^D. What else a posterior takes, such as its width, is a linear map of these. latent_dim: the dimension of x.

    Features, which probes read, are the location parameters. Raises UserError on the sphere, of one dimension less.
    """

    def __init__(
        self,
        *,
        shape: Shape,
        backbone: Callable[..., nn.Module],
        latent_dim: int,
        posterior: Family | None = None,
        space: type[Space] = SPACES["euclidean"],
    ):
        dim = math.prod(shape)
        wrong = f"latent_dim must be {dim}, the dimension of x, for encoder=realnvp; got {latent_dim}"
        require(latent_dim == dim, wrong)
        given = {"shape": shape, "backbone": backbone, "latent_dim": latent_dim, "posterior": posterior}
        super().__init__(**given, projector=[], space=space)
        fault = "encoder=realnvp keeps every dimension of x, and the prior's space (sphere) has one less"
        require(space is not SPACES["sphere"], f"{fault}; allowed: priors on R^D or the box")
        self.projector = Appended(latent_dim, self.posterior.width(latent_dim) - latent_dim)

    def log_det(self, x: Tensor) -> Tensor:
        """log |det| of the Jacobian of the location parameters with respect to x, [B, *shape] -> [B]."""
        return self.backbone.with_log_det(x)[1]

    def inverse(self, h: Tensor) -> Tensor:
        """The x, [B, *shape], of these location parameters, [B, D]."""
        return self.backbone.inverse(h)


class Appended(nn.Module):
    """h, [B, D], followed by `more` numbers that are a linear map of it."""

    def __init__(self, dim: int, more: int):
        super().__init__()
        self.more = nn.Linear(dim, more) if more else None

    def forward(self, h: Tensor) -> Tensor:
        return h if self.more is None else torch.cat([h, self.more(h)], 1)
