"""The gamma distribution: its samples, without a wait for the device, and for several ranks those of one process."""

import torch
from torch import Tensor

from ssvae_cli.distributed.collectives import draw_rows

PROPOSALS = 12  # each is accepted with a probability of at least 0.95


def sample(shape: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One sample of Gamma(shape, 1) for each shape, [B] -> [B]; gradients reach the shapes.

    A fixed number of proposals of Marsaglia & Tsang (2000) for Gamma(shape + 1), the first that is accepted, times the
    power 1 / shape of a uniform variable. The gradient is that of the quantile at the sample (Figurnov et al. 2018)."""
    with torch.no_grad():
        options = {"device": shape.device, "dtype": shape.dtype, "generator": generator}
        normal = draw_rows(torch.randn, len(shape), PROPOSALS, **options)
        u = draw_rows(torch.rand, len(shape), PROPOSALS + 1, **options)
        d = (shape + 2 / 3)[:, None]
        cubed = (1 + normal / (3 * d.sqrt())) ** 3
        accepted = (cubed > 0) & (u[:, 1:].log() < 0.5 * normal**2 + d * (1 - cubed + cubed.clamp_min(1e-30).log()))
        first = accepted.to(torch.uint8).argmax(1, keepdim=True)
        drawn = (d * cubed.gather(1, first))[:, 0] * u[:, 0].pow(1 / shape)
        drawn = drawn.clamp_min(torch.finfo(shape.dtype).tiny)
        slope = torch._standard_gamma_grad(shape, drawn)
    return drawn + slope * (shape - shape.detach())
