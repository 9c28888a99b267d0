"""Random numbers by the seeds of rows.

1. They are uniform and normal numbers, of which neither rows nor columns depend on each other.
2. Of a batch with more numbers than SEEDED every process draws those of its own rows, which are those of one process.
"""

import pytest
import torch

from ssvae_cli.distributed import collectives
from ssvae_cli.distributed.collectives import Shard, draw_rows
from ssvae_cli.distributed.row_seeds import of_seeds


@pytest.fixture
def numbers():
    seeds = torch.arange(2000)  # that are as alike as can be
    return lambda random: of_seeds(random, seeds, 500).double()


@pytest.mark.parametrize("random, moments", [(torch.rand, (1 / 2, 1 / 3, 1 / 5)), (torch.randn, (0, 1, 3))])
def test_they_have_the_moments_of_their_law(random, moments, numbers):
    x = numbers(random)
    for moment, power in zip(moments, (1, 2, 4)):
        terms = x**power
        assert abs(terms.mean() - moment) < 4 * terms.std() / x.numel() ** 0.5


def test_neither_rows_nor_columns_depend_on_each_other(numbers):
    x = numbers(torch.randn)
    for table in (x[:200], x.T[:200]):
        count, size = table.shape
        strongest = torch.corrcoef(table).fill_diagonal_(0).abs().max() * size**0.5
        assert strongest < 5.5  # of 20,000 pairs, normal each


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("random", [torch.rand, torch.randn])
def test_processes_draw_the_numbers_of_one_each_for_its_own_rows(random, views, monkeypatch):
    monkeypatch.setattr(collectives, "SEEDED", 100)
    drawn = []
    monkeypatch.setattr(collectives, "of_seeds", lambda *of, **how: drawn.append(len(of[1])) or of_seeds(*of, **how))
    draw = lambda rows: draw_rows(random, rows, 3, 5, generator=torch.Generator().manual_seed(0))
    one, sizes, parts = draw(views * 11), (4, 4, 3), []
    for rank, size in enumerate(sizes):
        monkeypatch.setattr(collectives, "_shard", Shard(11, sizes, rank))
        parts.append(draw(views * size).view(views, size, 3, 5))
    assert torch.equal(torch.cat(parts, 1).view(-1, 3, 5), one) and one.dtype == torch.float32
    assert drawn == [views * rows for rows in (11, *sizes)]


def test_a_batch_of_few_numbers_has_those_of_torch():
    draw = lambda random: random(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw(lambda *shape, **how: draw_rows(torch.randn, *shape, **how)), draw(torch.randn))
