"""The order of an epoch's samples, drawn block by block.

1. Every sample is once in it, whatever their number; up to a block it is torch's permutation, to the number.
2. It goes on in the middle from the generator's state, and processes have rows that are disjoint.
3. Neighbours mix: samples of one batch come from everywhere.
4. Its memory is that of a block, at 1e9 samples too.
"""

import pytest
import torch

from ssvae_cli.datasets import order as module
from ssvae_cli.datasets.base import draw
from ssvae_cli.datasets.order import Order


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 64)
    monkeypatch.setattr(module, "RUN", 4)


def test_up_to_a_block_it_is_torchs_permutation():
    plain = torch.randperm(1000, generator=generator())
    assert torch.equal(Order(1000, generator()).rows(0, 1000), plain)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 130, 999, 1024])
def test_every_sample_is_once_in_an_order_of_blocks(count, small_blocks):
    of_two = [Order(count, generator(seed)).rows(0, count) for seed in (0, 1)]
    for rows in of_two:
        assert torch.equal(rows.sort().values, torch.arange(count))
    assert count < 60 or not torch.equal(*of_two)


@pytest.mark.parametrize("processes", [1, 3])
def test_batches_go_on_from_any_step_and_are_divided_among_processes(processes, small_blocks):
    count, size, steps = 1000, 21, 1000 // 21  # blocks end within batches
    owns = [slice(size * rank // processes, size * (rank + 1) // processes) for rank in range(processes)]
    whole = [list(Order(count, generator()).batches(size, range(steps), own)) for own in owns]
    rows = torch.cat([torch.cat(parts) for parts in zip(*whole)])
    assert torch.equal(rows, Order(count, generator()).rows(0, size * steps))
    assert len(rows.unique()) == size * steps
    for own, batches in zip(owns, whole):
        later = Order(count, generator()).batches(size, range(17, steps), own)
        assert len(later) == steps - 17 and all(map(torch.equal, later, batches[17:]))


def test_samples_of_one_batch_come_from_everywhere_and_few_are_neighbours(small_blocks):
    count, size = 64_000, 16
    batches = torch.stack(list(Order(count, generator()).batches(size, range(count // size), slice(0, size))))
    spread = batches.double().std(1).mean() / torch.randperm(count).view(-1, size).double().std(1).mean()
    assert spread == pytest.approx(1, abs=0.05)
    apart = (batches[:, :, None] - batches[:, None]).abs()
    near = ((apart < module.RUN) & (apart > 0)).double().sum((1, 2)).mean() / (size * (size - 1))
    assert near < 2 * module.RUN / module.BLOCK


def test_of_more_samples_than_can_be_permuted_a_block_alone_is():
    order = Order(10**9, generator())
    rows = order.rows(5 * 10**8, 5 * 10**8 + 4096)
    assert len(rows.unique()) == 4096 and 0 <= rows.min() and rows.max() < 10**9
    assert order.blocks == 239 and len(order._samples) <= module.BLOCK


@pytest.mark.parametrize("count", [0, 1, 50, 200])
def test_rows_that_are_held_out_and_the_others_are_all_and_fewer_are_among_more(count, small_blocks):
    chosen, others = draw(200, count)
    assert torch.equal(torch.cat([chosen, others]).sort().values, torch.arange(200)) and len(chosen) == count
    assert set(draw(200, count // 2)[0].tolist()) <= set(chosen.tolist())
