"""Latents of which a number cannot be estimated: constant ones, and those whose entropy is -inf."""

import torch
from torch import Tensor

from ssvae_cli.distributions.covariance import RIDGE
from ssvae_cli.encoders.posteriors import with_density
from ssvae_cli.tracking.missing import Missing

ATOM = 0.01  # share of latents that coincide, from which Q has an atom
LEAST_EQUAL = 4  # latents that coincide, at least, as some of few may be of equal x
ROUNDING = 1e-5  # of the largest coordinate: what batches of different sizes make of equal inputs in float32


def numerical_rank(z: Tensor) -> int:
    """How many principal axes of z, [N, D], have a variance above RIDGE times the mean; entropies use that ridge."""
    variances = torch.linalg.eigvalsh(torch.cov(z.double().T).reshape(z.shape[1], z.shape[1]))
    return int((variances > RIDGE * variances.mean()).sum())


def dead_units(z: Tensor) -> list[int]:
    """The coordinates of z, [N, D], that are constant to the same tolerance."""
    variances = z.double().var(0)
    return (variances <= RIDGE * variances.mean()).nonzero().flatten().tolist()


def latent_names(count: int) -> list[str]:
    """z and z', or z_1 to z_n of more."""
    return ["z", "z'"][:count] if count <= 2 else [f"z_{i + 1}" for i in range(count)]


def constant_latent(latents: tuple[Tensor, ...]) -> Missing | None:
    """That one of the latents, [N, D] each, is the same for every x: the encoder has collapsed."""
    for name, z in zip(latent_names(len(latents)), latents):
        if ((z - z[:1]).abs().max() <= ROUNDING * z.abs().max()).item():
            return Missing(f"{name} is constant: the encoder maps every x to one point")
    return None


def atom(z: Tensor) -> str | None:
    """That many z, [N, D], coincide, or many values of one coordinate: there Q has no density."""
    for what, rows in (("z", z), *((f"coordinate {i}", column[:, None]) for i, column in enumerate(z.T))):
        _, counts = rows.unique(dim=0, return_counts=True)
        if (most := counts.max().item()) >= max(LEAST_EQUAL, ATOM * len(z)):
            return f"{what} is the same for {most / len(z):.0%} of all x"
    return None


def infinite_entropy(objective, latents: tuple[Tensor, ...], inputs: tuple[int, ...]) -> Missing | None:
    """That H(z) or H(z') is -inf: the latents of a deterministic encoder lie in fewer dimensions than D, or coincide.

    An estimate of it is finite only through numerical error, and so is the ELBO of a prior that contains it. latents:
    (z, z') or (z,), [N, D] each; inputs: the numbers in one x, in one x' and so on."""
    if not objective.prior.needs_densities:  # a prior of scores, whose ELBO contains no entropy
        return None
    noise = " or ".join(f"posterior={name}" for name in with_density(objective.prior.space))
    remedy = f"a smaller encoder.latent_dim, or noise: {noise}" if noise else "a smaller encoder.latent_dim"
    for name, z, encoder, numbers in zip(latent_names(len(latents)), latents, objective.encoders, inputs):
        if encoder.stochastic:
            continue
        if constant := constant_latent((z,)):
            return Missing(f"H({name}) = -inf, as {constant.reason.replace('z', name, 1)}")
        rank, dim, dead = min(numerical_rank(z), numbers), z.shape[1], dead_units(z)
        if rank < dim:
            units = f"; dead units: {', '.join(map(str, dead))}" if dead else ""
            fault = f"{name} has {dim} dimensions and its samples a numerical rank of {rank}{units}"
            return Missing(f"H({name}) = -inf: {fault}; try {remedy}")
        if found := atom(z):
            return Missing(f"H({name}) = -inf: {found.replace('z', name, 1)}; try {remedy}")
    return None
