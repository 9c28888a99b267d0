"""The geometry of embeddings: alignment, uniformity, effective rank."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.datasets.base import evenly_spaced
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.tracking.missing import Missing

KEYS = tuple(f"geometry/{name}/test" for name in ("alignment", "uniformity", "rank", "noise"))
MOST = 4096  # embeddings that are compared with each other


class Geometry:
    """`geometry/alignment`, `uniformity`, `rank`, the effective rank of centred z, and `noise`, the share of z's
    variance that is a stochastic posterior's, a mean over the coordinates; no alignment of one latent."""

    @torch.no_grad()
    def __call__(self, reading: Reading, split: str) -> dict[str, float | Missing | None]:
        latents = reading.latents(split)
        alone = Missing(f"{split} has one row, and none to compare it with") if len(latents[0]) == 1 else None
        means = reading.means(split)
        return {
            f"geometry/alignment/{split}": alignment(*latents) if len(latents) == 2 else None,
            f"geometry/uniformity/{split}": alone or uniformity(latents[0]),
            f"geometry/rank/{split}": alone or effective_rank(latents[0]),
            f"geometry/noise/{split}": None if means is None else alone or noise(latents[0], means),
        }


def alignment(z: Tensor, z_prime: Tensor) -> float:
    """E |u - u'|^2 of normalised pairs, [B, D] each (Wang & Isola 2020, alpha = 2)."""
    return (F.normalize(z) - F.normalize(z_prime)).square().sum(1).mean().item()


def uniformity(z: Tensor) -> float:
    """log E exp(-2 |u - v|^2) over distinct normalised embeddings (Wang & Isola 2020, t = 2)."""
    return torch.pdist(F.normalize(z[evenly_spaced(len(z), MOST, z.device)])).square().mul(-2).exp().mean().log().item()


def noise(z: Tensor, means: Tensor) -> float:
    """The share of z's variance that no multiple of the posteriors' means accounts for, a mean over the coordinates,
    [B, D] each: on the sphere, where the mean is a direction, E z is shorter."""
    z, means = (side.double() - side.double().mean(0) for side in (z, means))
    variance, of_means = (side.square().sum(0).clamp_min(torch.finfo(side.dtype).tiny) for side in (z, means))
    slope = (z * means).sum(0) / of_means
    return ((z - slope * means).square().sum(0) / variance).mean().item()


def effective_rank(z: Tensor) -> float:
    """exp of the entropy of the normalised singular values of centred z, [B, D] (Roy & Vetterli 2007)."""
    z = z.double()  # its range holds the squares of large numbers
    values = torch.linalg.svdvals(z - z.mean(0))
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return torch.special.entr(shares).sum().exp().item()
