"""What the random layers of an encoder draw where several processes share a run, each with its rows of a batch.

1. Each rank has other masks than the others, and others in every step.
2. After them the global stream is in one state on all ranks, whatever their numbers of rows, as is needed where all
   must draw the same: slices of an estimator, steps of a classifier, posterior samples.
3. An encoder that draws nothing leaves that stream where it was: posterior samples are those of one process.
"""

import pytest
import torch

from ssvae_cli.distributed import collectives
from ssvae_cli.distributed.collectives import Shard
from ssvae_cli.encoders.posteriors import Deterministic
from test_microbatch import objective

SIZES = (6, 5)  # rows of two ranks


def encoded(made, rank: int | None, steps: int = 1) -> tuple[list[torch.Tensor], torch.Tensor]:
    """(z of each step, the global state after them) of one rank, whose x are all ones; None: of a single process."""
    torch.manual_seed(3)
    collectives._shard = None if rank is None else Shard(sum(SIZES), SIZES, rank)
    x = torch.ones(sum(SIZES) if rank is None else SIZES[rank], 1, 6, 6, dtype=torch.float64)
    latents = [made.encode(x, x).latents[0].detach() for _ in range(steps)]
    return latents, torch.get_rng_state()


@pytest.fixture(autouse=True)
def one_process_afterwards(monkeypatch):
    monkeypatch.setattr(collectives, "_shard", None)


def test_ranks_draw_other_masks_in_every_step_and_share_a_state_afterwards():
    made = objective(dropout=0.5, posterior=Deterministic()).train()
    (first, state), (second, other) = (encoded(made, rank, steps=2) for rank in (0, 1))
    rows = [row for latents in (*first, *second) for row in latents]
    assert len({tuple(row.tolist()) for row in rows}) == len(rows)  # x are alike, so masks are not
    assert torch.equal(state, other)


def test_a_rank_leaves_the_stream_of_an_encoder_that_draws_nothing_to_posterior_samples():
    made = objective().train()
    (whole,), state = encoded(made, None)
    pieces = [encoded(made, rank) for rank in (0, 1)]
    assert all(torch.equal(state, other) for _, other in pieces)
    assert torch.allclose(torch.cat([z for (z,), _ in pieces]), whole)
