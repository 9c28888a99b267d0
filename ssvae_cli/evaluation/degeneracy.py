"""H(z) = -inf: latents on a subspace of fewer dimensions, under a prior whose ELBO contains their entropy."""

import logging

import torch
from torch import Tensor

from ssvae_cli.distributions.spaces import RIDGE
from ssvae_cli.encoders.base import with_density

log = logging.getLogger(__name__)


def numerical_rank(z: Tensor) -> int:
    """How many principal axes of z, [N, D], have a variance above RIDGE times the mean; entropies use that ridge."""
    variances = torch.linalg.eigvalsh(torch.cov(z.double().T).reshape(z.shape[1], z.shape[1]))
    return int((variances > RIDGE * variances.mean()).sum())


def dead_units(z: Tensor) -> list[int]:
    """The coordinates of z, [N, D], that are constant to the same tolerance."""
    variances = z.double().var(0)
    return (variances <= RIDGE * variances.mean()).nonzero().flatten().tolist()


def warn_of_degeneracy(objective, latents: tuple[Tensor, ...], inputs: int) -> None:
    """Warn, naming z or z', if the latents of a deterministic encoder have no density; inputs: the numbers in one x."""
    if not objective.prior.needs_densities:  # a prior of scores, whose ELBO contains no entropy
        return
    noise = " or ".join(f"encoder.posterior={name}" for name in with_density(objective.prior.space))
    remedy = f"a smaller encoder.latent_dim, or noise: {noise}" if noise else "a smaller encoder.latent_dim"
    for name, z, encoder in zip(("z", "z'"), latents, (objective.encoder, objective.encoder_prime)):
        rank, dim, dead = min(numerical_rank(z), inputs), z.shape[1], dead_units(z)
        if encoder.stochastic or rank >= dim:
            continue
        units = f"; dead units: {', '.join(map(str, dead))}" if dead else ""
        log.warning(
            "H(%s) = -inf: %s has %d dimensions and its samples a numerical rank of %d%s, so its entropy and the ELBO "
            "are finite only through numerical error; try %s", name, name, dim, rank, units, remedy,
        )  # fmt: skip
