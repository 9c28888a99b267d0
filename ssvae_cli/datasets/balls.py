"""Videos of balls that move by linear dynamics, their positions and velocities known."""

import torch
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor

from ssvae_cli.datasets.base import Data, Factor, Split
from ssvae_cli.datasets.synthetic import make_splits, unlabelled
from ssvae_cli.errors import require, require_at_least

# A noisy, damped spring on each axis: velocity v += -PULL p - DAMPING v + noise, then position p += v.
PULL, DAMPING = 0.15, 0.05
TRANSITION = torch.tensor([[1 - PULL, 1 - DAMPING], [-PULL, 1 - DAMPING]], dtype=torch.float64)  # of (p, v)
SPREAD = 0.33  # the stationary deviation of p; the frame is [-1, 1]
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
    """uint8 [N, T, 3, size, size], T = steps; factors [N, T, 4 * balls]: every ball's x, y and their velocities.

    Each ball's state is stationary, s_(t+1) = A s_t + noise, so the truth is a linear dynamical system. distractors:
    grey balls of the same motion, which no factor tells of. seed: of the data, whatever the run's.
    """
    require(1 <= balls <= len(COLOURS), f"balls must lie between 1 and {len(COLOURS)}, got {balls}")
    require_at_least(0, distractors=distractors)
    require_at_least(2, steps=steps)
    require(size >= 8, f"size must be at least 8 pixels, got {size}")
    colours = torch.tensor([*COLOURS[:balls], *[GREY] * distractors])

    def make(count: int, generator: torch.Generator) -> Split:
        states = _move(count, len(colours), steps, generator)  # [N, T, balls, xy, (p, v)]
        places = states[..., 0].flatten(0, 1)
        frames = torch.cat([_render(chunk, colours, size) for chunk in places.split(CHUNK)])
        known = states[:, :, :balls].transpose(3, 4).flatten(2)
        return unlabelled(frames.unflatten(0, (count, steps)), factors=known)

    return Data(
        **make_splits({"train": train, "validation": validation, "test": test}, seed, memory_gb, make),
        factors=tuple(Factor(f"ball{i}/{name}") for i in range(balls) for name in ("x", "y", "vx", "vy")),
    )


def stationary() -> tuple[Tensor, float]:
    """The covariance of (p, v), [2, 2], and the deviation of the velocity's noise that makes p's deviation SPREAD."""
    of_unit_noise = solve_discrete_lyapunov(TRANSITION.numpy(), torch.ones(2, 2, dtype=torch.float64).numpy())
    deviation = SPREAD / of_unit_noise[0, 0] ** 0.5
    return torch.from_numpy(deviation**2 * of_unit_noise), float(deviation)


def _move(count: int, balls: int, steps: int, generator: torch.Generator) -> Tensor:
    """Stationary states, [N, T, balls, 2, 2]: an axis' position and velocity last."""
    covariance, deviation = stationary()
    state = torch.randn(count, balls, 2, 2, generator=generator) @ torch.linalg.cholesky(covariance).float().T
    states = [state]
    for _ in range(steps - 1):
        kick = deviation * torch.randn(count, balls, 2, 1, generator=generator)
        state = state @ TRANSITION.float().T + kick
        states.append(state)
    return torch.stack(states, 1)


def _render(places: Tensor, colours: Tensor, size: int) -> Tensor:
    """Balls at `places` [M, balls, 2] on black, the first in front, uint8 [M, 3, size, size]; soft edges."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    x, y = places.unbind(2)
    distance = ((line - x[..., None, None]) ** 2 + (line[:, None] - y[..., None, None]) ** 2).sqrt()
    cover = (0.5 - (distance - RADIUS) * size / 2).clamp(0, 1)  # [M, balls, size, size]
    picture = torch.zeros(len(places), 3, size, size)
    for i in reversed(range(len(colours))):
        picture = cover[:, i, None] * colours[i][:, None, None] + (1 - cover[:, i, None]) * picture
    return (255 * picture).round().to(torch.uint8)
