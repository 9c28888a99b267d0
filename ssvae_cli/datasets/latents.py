"""Known latents behind a random invertible network, as in the theory of contrastive learning.

Zimmermann et al. 2021, "Contrastive Learning Inverts the Data Generating Process": z uniform, z' close to z. von
Kuegelgen et al. 2021, "Self-Supervised Learning with Data Augmentations Provably Isolates Content from Style": some
coordinates are shared by x and x'; the others change and may depend on the shared ones.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Data, Factor, Split
from ssvae_cli.datasets.synthetic import InvertibleNetwork, make_splits, unlabelled
from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.distributions import von_mises_fisher
from ssvae_cli.distributions.spaces import SPACES, log_area
from ssvae_cli.errors import require, require_above

Space = Literal["sphere", "box", "normal"]
Kind = Literal["vmf", "laplace", "normal"]
SERVING = {"sphere": ("vmf", "laplace", "normal"), "box": ("laplace", "normal"), "normal": ("laplace", "normal")}


class Neighbour(nn.Module):
    """P(x'|x) through P(z'|z); the first `content` coordinates of z' are those of z.

    normal, laplace: z plus noise of this scale, truncated to the box (exactly, by the inverse of the cumulative
    distribution function, CDF) or projected onto the sphere. vmf: concentration 1/scale^2 about z.
    """

    def __init__(self, *, space: Space, kind: Kind, scale: float, content: int, network: nn.Module):
        super().__init__()
        self.space, self.kind, self.scale, self.content, self.network = space, kind, scale, content, network

    def forward(self, batch: Split, generator: torch.Generator) -> Tensor:
        """A fresh x' for every sample, [B, D]."""
        return self.network(self.draw(batch.factors, generator))

    def draw(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """z' given z, [B, D]."""
        if self.kind == "vmf":
            return von_mises_fisher.sample(z, torch.tensor(self.scale**-2), generator)
        u = draw_rows(torch.rand, *z.shape, dtype=torch.float64, device=z.device, generator=generator)
        cdf, inverse_cdf = DISTRIBUTIONS[self.kind]
        if self.space == "box":
            low, high = cdf(-z.double() / self.scale), cdf((1 - z.double()) / self.scale)
            u = low + u * (high - low)
        moved = z + (self.scale * inverse_cdf(u.clamp(1e-12, 1 - 1e-12))).to(z)
        if self.space == "box":
            moved = moved.clamp(0, 1)  # against numerical error
        if self.space == "sphere":
            moved = SPACES["sphere"].project(moved)
        return torch.cat([z[:, : self.content], moved[:, self.content :]], 1)


def _laplace_cdf(x: Tensor) -> Tensor:
    return torch.where(x < 0, 0.5 * x.clamp(max=0).exp(), 1 - 0.5 * (-x.clamp(min=0)).exp())


def _laplace_inverse_cdf(u: Tensor) -> Tensor:
    return -(u - 0.5).sign() * torch.log1p(-2 * (u - 0.5).abs())


# The CDF at scale 1 and its inverse.
DISTRIBUTIONS = {"normal": (torch.special.ndtr, torch.special.ndtri), "laplace": (_laplace_cdf, _laplace_inverse_cdf)}


def latents(
    *,
    space: Space,
    conditional: Kind,
    dim: int,
    scale: float,
    content: int,
    dependence: float,
    layers: int,
    train: int,
    validation: int,
    test: int,
    seed: int,
    memory_gb: float = 4.0,
) -> Data:
    """x = network(z), z uniform on the unit sphere in R^dim, uniform on the box [0, 1]^dim, or standard normal.

    conditional, scale: P(z'|z), see Neighbour. content: the number of coordinates that are the same in z'. dependence,
    for normal z only: the others, the style, are dependence * B c + sqrt(1 - dependence^2) e, c the content, e standard
    normal, B with rows of length 1. Factors: z. I(x; x') is known for vmf on the sphere and for normal z and z' without
    dependence. Raises UserError if space, conditional and blocks do not fit together.
    """
    fitting = ", ".join(SERVING[space])
    require(conditional in SERVING[space], f"conditional={conditional}: allowed with space={space}: {fitting}")
    least = 2 if space == "sphere" else 1
    require(dim >= least, f"dim must be at least {least} for space={space}, got {dim}")
    require_above(0, scale=scale)
    require(0 <= content < dim, f"content must lie between 0 and {dim - 1}, one less than dim; got {content}")
    require(content == 0 or space != "sphere", "content needs space=normal or box, got sphere")
    require(0 <= dependence < 1, f"dependence must lie in [0, 1), got {dependence}")
    fits = dependence == 0 or (content > 0 and space == "normal")
    require(fits, f"dependence={dependence} needs space=normal and content of at least 1")
    network = InvertibleNetwork(dim=dim, layers=layers, seed=seed)
    mixing = torch.randn(dim - content, content, generator=torch.Generator().manual_seed(seed + 1))
    mixing = mixing / mixing.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def make(count: int, generator: torch.Generator) -> Split:
        z = SPACES["euclidean" if space == "normal" else space].sample(torch.empty(count, dim), generator)
        if dependence:
            style = dependence * z[:, :content] @ mixing.T + math.sqrt(1 - dependence**2) * z[:, content:]
            z = torch.cat([z[:, :content], style], 1)
        return unlabelled(network(z), z)

    return Data(
        **make_splits({"train": train, "validation": validation, "test": test}, seed, memory_gb, make),
        factors=tuple(Factor(f"{'content' if i < content else 'z'}{i}") for i in range(dim)),
        conditional=Neighbour(space=space, kind=conditional, scale=scale, content=content, network=network),
        mi=_mutual_information(space, conditional, dim, scale) if content == 0 else None,
    )


def _mutual_information(space: Space, kind: Kind, dim: int, scale: float) -> float | None:
    """I(z; z') in nats; the invertible network leaves it unchanged. None if it has no closed form."""
    if kind == "vmf":
        kappa = torch.tensor(scale**-2, dtype=torch.float64)
        log_density = von_mises_fisher.log_normaliser(kappa, dim) + kappa * von_mises_fisher.mean_cosine(kappa, dim)
        return log_density.item() + log_area(dim)
    return 0.5 * dim * math.log1p(scale**-2) if space == kind == "normal" else None
