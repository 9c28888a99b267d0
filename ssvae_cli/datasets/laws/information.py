"""Entropies and mutual information of one dimension, by Gauss-Legendre quadrature.

Everything is integrated over asinh of the distance from where the integrand is narrow, so that heavy tails and narrow
steps need few nodes; the tests compare with other integrals.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.datasets.laws.univariate import LEAST, Uniform, Univariate

NODES, WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(48))
PANELS = 32  # of the outer integral
INNER = 3  # panels on each side of a point


def entropy_of_sum(source: Univariate, scale: float, noise: Univariate, noise_scale: float) -> float:
    """h(scale X + noise_scale E) in nats, X and E independent; E is not uniform."""
    narrow = min(scale, noise_scale)
    far = scale * _reach(source) + noise_scale * _reach(noise)
    w, weights = _grid(torch.zeros((), dtype=torch.float64), torch.tensor(math.asinh(far / narrow)), PANELS)
    x, weights = narrow * torch.sinh(w), 2 * weights * narrow * torch.cosh(w)  # both are symmetric
    density = _density_of_sum(x, source, scale, noise, noise_scale)
    return (weights * torch.special.entr(density)).sum().item()


def information_in_box(step: Univariate, scale: float) -> float:
    """I(z; z') in nats, z uniform on [0, 1], z' - z a step of this scale, truncated to the box."""
    at, weights = _grid(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64), PANELS)
    near, near_weights = _around(at, scale)  # of each place in the box
    mass = lambda z: step.cdf((1 - z) / scale) - step.cdf(-z / scale)
    log_step = step.log_density((near - at[:, None]) / scale) - math.log(scale)
    marginal = (near_weights * (log_step.exp() / mass(near))).sum(1)  # P(z') at `at`, integrated over z
    log_given = log_step - mass(at)[:, None].log()  # log P(z'|z) with z at `at`
    noise = -(near_weights * log_given.exp() * log_given).sum(1)  # h(z'|z)
    return (weights * (torch.special.entr(marginal) - noise)).sum().item()


def _density_of_sum(x: Tensor, source: Univariate, scale: float, noise: Univariate, noise_scale: float) -> Tensor:
    """The density of scale X + noise_scale E at x > 0, [M]."""
    if isinstance(source, Uniform):
        ends = (noise.cdf((x + side * scale) / noise_scale) for side in (1, -1))
        return (next(ends) - next(ends)).clamp_min(0) / (2 * scale)
    total = torch.zeros_like(x)
    # X is narrow about 0, and E about X = x: each side of both points has its own nodes, which meet at x / 2.
    for centre, width, inwards, law in ((0 * x, scale, 1, source), (x, noise_scale, -1, noise)):
        for towards, length in ((inwards, x / 2), (-inwards, torch.full_like(x, width * _reach(law)))):
            w, weights = _grid(torch.zeros_like(x), torch.asinh(length / width), INNER)
            at = centre[:, None] + towards * width * torch.sinh(w)
            log_joint = source.log_density(at / scale) + noise.log_density((x[:, None] - at) / noise_scale)
            total = total + (weights * width * torch.cosh(w) * log_joint.exp()).sum(1)
    return total / (scale * noise_scale)


def _around(centre: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """(nodes, weights), [M, K] each, of integrals over [0, 1] of what is narrow about each of the centres, [M]."""
    nodes, weights = [], []
    for side, length in ((-1, centre), (1, 1 - centre)):
        w, weight = _grid(torch.zeros_like(centre), torch.asinh(length / width), INNER)
        nodes.append(centre[:, None] + side * width * torch.sinh(w))
        weights.append(weight * width * torch.cosh(w))
    return torch.cat(nodes, 1).clamp(0, 1), torch.cat(weights, 1)


def _grid(low: Tensor, high: Tensor, panels: int) -> tuple[Tensor, Tensor]:
    """(nodes, weights), [..., panels * 48], of integrals from low to high, [...]."""
    half = ((high - low) / (2 * panels))[..., None, None]
    starts = low[..., None, None] + 2 * half * torch.arange(panels, dtype=torch.float64)[:, None]
    nodes = starts + half * (1 + NODES)
    return nodes.flatten(-2), (half * WEIGHTS).expand_as(nodes).flatten(-2)


def _reach(law: Univariate) -> float:
    """Beyond this a sample is not met."""
    return law.quantile(torch.tensor(1 - LEAST, dtype=torch.float64)).item()
