"""A deterministic encoder smoothed by a stated noise, so that its entropies can be enclosed."""

import math

import torch

from ssvae_cli.encoders.posteriors import Normal
from ssvae_cli.priors import Encoded


def smoothed(encoded: Encoded, noise: float, generator: torch.Generator) -> Encoded:
    """The same sources under Q(z|x) = N(g(x), noise^2 I); a posterior that has a density is unchanged."""
    sides = []
    for z, posterior in zip(encoded.latents, encoded.posteriors):
        if not posterior.stochastic:
            posterior = Normal(posterior.mean, torch.full_like(posterior.mean, math.log(noise)))
            z = posterior.sample(generator)
        sides.append((z, posterior))
    return Encoded(*zip(*sides))
