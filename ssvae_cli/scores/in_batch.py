"""The scores of a batch by a critic: dense or in tiles, with past latents or without, of one process or of several."""

from collections.abc import Callable
from typing import Literal, TypeVar

from torch import Tensor

from ssvae_cli.critics import Critic, Factored
from ssvae_cli.distributed.collectives import all_gather_own_first, current_shard
from ssvae_cli.scores.dense import DenseScores
from ssvae_cli.scores.gathered import GatheredScores
from ssvae_cli.scores.protocol import Past, Scores
from ssvae_cli.scores.tiled import TiledScores, Tiles

TILED_ABOVE = 4096 * 4096  # scores; below, one table is as fast and simpler to compile

Direction = Literal["forward", "backward", "both"]
Result = TypeVar("Result")


def by_direction(direction: Direction, forward: Callable[[], Result], backward: Callable[[], Result]) -> list[Result]:
    """The result of each direction: forward anchors z and normalises over z', backward the reverse."""
    chosen = {"forward": [forward], "backward": [backward], "both": [forward, backward]}
    return [function() for function in chosen[direction]]


def in_batch_scores(
    critic: Critic, z: Tensor, z_prime: Tensor, direction: Direction, past: Past | None = None
) -> list[Scores]:
    """Scores of the pairs z, z': [B, D], one per direction; `past` latents of both are further candidates."""
    others, others_prime = (all_gather_own_first(side) for side in (z, z_prime))
    present = None
    if past is not None:
        (others, others_prime), present = past.after((others, others_prime))
    tiled = isinstance(critic, Factored) and len(z) * len(others) > TILED_ABOVE
    scores = (_tiled if tiled else _dense)(critic, z, z_prime, others, others_prime, direction, present)
    return scores if current_shard() is None else [GatheredScores(own) for own in scores]


def _dense(critic, z, z_prime, others, others_prime, direction, present) -> list[Scores]:
    """z against others', and z' against others; the pairs come first among these."""
    table = critic(z, others_prime)
    reverse = lambda: table if others.shape == z.shape else critic(others, z_prime)
    return by_direction(direction, lambda: DenseScores(table, present), lambda: DenseScores(reverse().T, present))


def _tiled(critic, z, z_prime, others, others_prime, direction, present) -> list[Scores]:
    if others.shape == z.shape:  # one pass over the tiles serves both directions
        sides = {"forward": {"rows"}, "backward": {"columns"}, "both": {"rows", "columns"}}[direction]
        tiles = Tiles(critic, z, z_prime, sides=sides)
        return by_direction(direction, lambda: TiledScores(tiles, "rows"), lambda: TiledScores(tiles, "columns"))
    tiled = lambda a, b, side: TiledScores(Tiles(critic, a, b, sides={side}, present=present), side)
    return by_direction(direction, lambda: tiled(z, others_prime, "rows"), lambda: tiled(others, z_prime, "columns"))
