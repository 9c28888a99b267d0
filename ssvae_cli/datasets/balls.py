"""Videos of balls that move by linear dynamics, with known positions and velocities, among distractors."""

import math
from typing import Literal

import torch
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor

from ssvae_cli.datasets.base import Data, Factor, Split
from ssvae_cli.datasets.synthetic import make_splits, unlabelled
from ssvae_cli.device import floats
from ssvae_cli.errors import require, require_at_least, require_within

PULL, DAMPING = 0.15, 0.05  # of the balls' springs
SPREAD = 0.33  # the stationary standard deviation of a position; the frame is [-1, 1]
RADIUS = 0.18
COLOURS = ((1.0, 0.3, 0.2), (0.2, 0.8, 1.0), (1.0, 0.9, 0.2), (0.6, 1.0, 0.3), (0.9, 0.4, 1.0))
GREY = (0.5, 0.5, 0.5)
JUMP = 0.2  # probability that a jumping distractor jumps before a frame
SLOW = 0.98  # correlation of the drifting background with itself a frame later
CHUNK = 64
Motion = Literal["springs", "jumps", "white_noise"]


def balls(
    *,
    balls: int,
    distractors: int,
    distractor_motion: Motion,
    distractor_period: float | None,
    nuisance: float,
    steps: int,
    size: int,
    train: int,
    validation: int,
    test: int,
    seed: int,
    memory_gb: float = 4.0,
) -> Data:
    """uint8 [N, T, 3, size, size], T = steps; factors [N, T, F]: x, y and their velocities for each ball.

    Each ball's state is stationary, s_(t+1) = A s_t + noise, so the truth is a linear dynamical system. truth:
    transition, A of (p, v) along an axis, and its spectral_radius. distractors: grey balls that appear in no factor;
    distractor_motion: on springs, of distractor_period in frames, null: that of the balls; or in jumps, or each frame
    anew. nuisance: the range of the background's brightness, which drifts slowly and is a factor where it is above 0.
    """
    require(1 <= balls <= len(COLOURS), f"balls must lie between 1 and {len(COLOURS)}, got {balls}")
    require_at_least(0, distractors=distractors)
    require_at_least(2, steps=steps)
    require(size >= 8, f"size must be at least 8 pixels, got {size}")
    require_within(0, 1, nuisance=nuisance)
    on_springs = distractor_period is None or distractor_motion == "springs"
    require(
        on_springs, f"distractor_period={distractor_period} needs distractor_motion=springs, got {distractor_motion}"
    )
    valid = distractor_period is None or distractor_period >= 3
    require(
        valid, f"distractor_period must be at least 3 frames, or null for that of the balls, got {distractor_period}"
    )
    colours = torch.tensor([*COLOURS[:balls], *[GREY] * distractors])

    def make(count: int, generator: torch.Generator) -> Split:
        states = spring_states(transition(), count, balls, steps, generator)  # [N, T, balls, xy, (p, v)]
        factors = states.transpose(3, 4).flatten(2)
        if distractor_motion == "springs":
            others = spring_states(transition(distractor_period), count, distractors, steps, generator)[..., 0]
        else:
            jump = JUMP if distractor_motion == "jumps" else 1.0
            others = jumping_positions(jump, count, distractors, steps, generator)
        positions = torch.cat([states[..., 0], others], 2)
        ground = nuisance * slow_drift(count, steps, generator) if nuisance else torch.zeros(count, steps)
        chunks = zip(positions.flatten(0, 1).split(CHUNK), ground.flatten().split(CHUNK))
        frames = torch.cat([_render(chunk, colours, size, level) for chunk, level in chunks])
        factors = torch.cat([factors, ground[..., None]], 2) if nuisance else factors
        return unlabelled(frames.unflatten(0, (count, steps)), factors)

    groups = {"x": "position", "y": "position", "vx": "velocity", "vy": "velocity"}
    columns = [Factor(f"ball{i}/{name}", group=group) for i in range(balls) for name, group in groups.items()]
    return Data(
        **make_splits({"train": train, "validation": validation, "test": test}, seed, memory_gb, make),
        factors=(*columns, *([Factor("background", group="nuisance")] if nuisance else [])),
        truth={"spectral_radius": math.sqrt(1 - DAMPING), "transition": transition().tolist()},
    )


def transition(period: float | None = None) -> Tensor:
    """A of (position, velocity) on a noisy, damped spring, float64 [2, 2]; period: in frames, None: of the balls.

    The velocity changes by v += -pull p - DAMPING v + noise, and then p += v: the eigenvalues of A have the modulus
    sqrt(1 - DAMPING), and their angle is 2 pi / period."""
    pull = PULL if period is None else 2 - DAMPING - 2 * math.sqrt(1 - DAMPING) * math.cos(2 * math.pi / period)
    return torch.tensor([[1 - pull, 1 - DAMPING], [-pull, 1 - DAMPING]], dtype=torch.float64)


def stationary(transition: Tensor) -> tuple[Tensor, float]:
    """The covariance of (p, v), [2, 2], and the velocity noise's deviation for which p has deviation SPREAD."""
    of_unit_noise = solve_discrete_lyapunov(transition.numpy(), torch.ones(2, 2, dtype=torch.float64).numpy())
    deviation = SPREAD / of_unit_noise[0, 0] ** 0.5
    return torch.from_numpy(deviation**2 * of_unit_noise), float(deviation)


def spring_states(transition: Tensor, count: int, balls: int, steps: int, generator: torch.Generator) -> Tensor:
    """Stationary states, [N, T, balls, 2, 2]; the last dimension is (position, velocity) along an axis."""
    covariance, deviation = stationary(transition)
    states = [torch.randn(count, balls, 2, 2, generator=generator) @ floats(torch.linalg.cholesky(covariance)).T]
    for _ in range(steps - 1):
        noise = deviation * torch.randn(count, balls, 2, 1, generator=generator)
        states.append(states[-1] @ floats(transition).T + noise)
    return torch.stack(states, 1)


def jumping_positions(jump: float, count: int, balls: int, steps: int, generator: torch.Generator) -> Tensor:
    """Positions, [N, T, balls, 2], that are drawn anew before a frame with this probability."""
    positions = [SPREAD * torch.randn(count, balls, 2, generator=generator)]
    for _ in range(steps - 1):
        jumps = torch.rand(count, balls, 1, generator=generator) < jump
        positions.append(torch.where(jumps, SPREAD * torch.randn(count, balls, 2, generator=generator), positions[-1]))
    return torch.stack(positions, 1)


def slow_drift(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Uniform on [0, 1] at every step, [N, T]: the distribution function of a slow normal process."""
    level = [torch.randn(count, generator=generator)]
    for _ in range(steps - 1):
        level.append(SLOW * level[-1] + math.sqrt(1 - SLOW**2) * torch.randn(count, generator=generator))
    return torch.special.ndtr(torch.stack(level, 1))


def _render(positions: Tensor, colours: Tensor, size: int, ground: Tensor) -> Tensor:
    """Balls at `positions` [M, balls, 2] on a grey `ground` [M], the first in front, uint8 [M, 3, size, size].
    Edges are soft."""
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    x, y = positions.unbind(2)
    distance = ((line - x[..., None, None]) ** 2 + (line[:, None] - y[..., None, None]) ** 2).sqrt()
    cover = (0.5 - (distance - RADIUS) * size / 2).clamp(0, 1)  # [M, balls, size, size]
    image = ground[:, None, None, None].expand(-1, 3, size, size)
    for i in reversed(range(len(colours))):
        image = cover[:, i, None] * colours[i][:, None, None] + (1 - cover[:, i, None]) * image
    return (255 * image).round().to(torch.uint8)
