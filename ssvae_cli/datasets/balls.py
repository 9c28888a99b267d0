"""Videos of balls that move by linear dynamics, with known positions and velocities."""

import torch
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor

from ssvae_cli.datasets.base import Data, Factor, Split
from ssvae_cli.datasets.synthetic import make_splits, unlabelled
from ssvae_cli.device import floats
from ssvae_cli.errors import require, require_at_least

# A noisy, damped spring on each axis: velocity v += -PULL p - DAMPING v + noise, then position p += v.
PULL, DAMPING = 0.15, 0.05
TRANSITION = torch.tensor([[1 - PULL, 1 - DAMPING], [-PULL, 1 - DAMPING]], dtype=torch.float64)  # of (p, v)
SPREAD = 0.33  # the stationary standard deviation of p; the frame is [-1, 1]
RADIUS = 0.18
COLOURS = ((1.0, 0.3, 0.2), (0.2, 0.8, 1.0), (1.0, 0.9, 0.2), (0.6, 1.0, 0.3), (0.9, 0.4, 1.0))
GREY = (0.5, 0.5, 0.5)
CHUNK = 64


def balls(
    *,
    balls: int,
    distractors: int,
    steps: int,
    size: int,
    train: int,
    validation: int,
    test: int,
    seed: int,
    memory_gb: float = 4.0,
) -> Data:
    """uint8 [N, T, 3, size, size], T = steps; factors [N, T, 4 * balls]: x, y and their velocities for each ball.

    Each ball's state is stationary, s_(t+1) = A s_t + noise, so the truth is a linear dynamical system. distractors:
    grey balls with the same dynamics that appear in no factor.
    """
    require(1 <= balls <= len(COLOURS), f"balls must lie between 1 and {len(COLOURS)}, got {balls}")
    require_at_least(0, distractors=distractors)
    require_at_least(2, steps=steps)
    require(size >= 8, f"size must be at least 8 pixels, got {size}")
    colours = torch.tensor([*COLOURS[:balls], *[GREY] * distractors])

    def make(count: int, generator: torch.Generator) -> Split:
        states = _move(count, len(colours), steps, generator)  # [N, T, balls, xy, (p, v)]
        positions = states[..., 0].flatten(0, 1).split(CHUNK)
        frames = torch.cat([_render(chunk, colours, size) for chunk in positions])
        return unlabelled(frames.unflatten(0, (count, steps)), states[:, :, :balls].transpose(3, 4).flatten(2))

    return Data(
        **make_splits({"train": train, "validation": validation, "test": test}, seed, memory_gb, make),
        factors=tuple(Factor(f"ball{i}/{name}") for i in range(balls) for name in ("x", "y", "vx", "vy")),
    )


def stationary() -> tuple[Tensor, float]:
    """The covariance of (p, v), [2, 2], and the velocity noise's deviation for which p has deviation SPREAD."""
    of_unit_noise = solve_discrete_lyapunov(TRANSITION.numpy(), torch.ones(2, 2, dtype=torch.float64).numpy())
    deviation = SPREAD / of_unit_noise[0, 0] ** 0.5
    return torch.from_numpy(deviation**2 * of_unit_noise), float(deviation)


def _move(count: int, balls: int, steps: int, generator: torch.Generator) -> Tensor:
    """Stationary states, [N, T, balls, 2, 2]; the last dimension is (position, velocity) along an axis."""
    covariance, deviation = stationary()
    states = [torch.randn(count, balls, 2, 2, generator=generator) @ floats(torch.linalg.cholesky(covariance)).T]
    for _ in range(steps - 1):
        noise = deviation * torch.randn(count, balls, 2, 1, generator=generator)
        states.append(states[-1] @ floats(TRANSITION).T + noise)
    return torch.stack(states, 1)


def _render(positions: Tensor, colours: Tensor, size: int) -> Tensor:
    """Balls at `positions` [M, balls, 2] on black, the first in front, uint8 [M, 3, size, size]; soft edges."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    x, y = positions.unbind(2)
    distance = ((line - x[..., None, None]) ** 2 + (line[:, None] - y[..., None, None]) ** 2).sqrt()
    cover = (0.5 - (distance - RADIUS) * size / 2).clamp(0, 1)  # [M, balls, size, size]
    image = torch.zeros(len(positions), 3, size, size)
    for i in reversed(range(len(colours))):
        image = cover[:, i, None] * colours[i][:, None, None] + (1 - cover[:, i, None]) * image
    return (255 * image).round().to(torch.uint8)
