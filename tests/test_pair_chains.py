"""Pair generators one after another: `then` is applied to each side, and what probes read has no chance in it."""

import pytest
import torch

from helpers import composed, make_folder, train
from ssvae_cli.datasets import Split
from ssvae_cli.errors import UserError
from ssvae_cli.instantiate.build import build
from ssvae_cli.pairs.base import Pairs
from ssvae_cli.pairs.halves import Halves
from ssvae_cli.pairs.noise import Noise
from ssvae_cli.pairs.patches import Patches
from ssvae_cli.pairs.supervised import Supervised
from test_pair_generators import CONF, Raw, data, generator, numbered, simclr, split


def test_further_views_are_transformed_each_with_its_own_randomness():
    views = Patches(grid=2, overlap=0.0, then=Noise(std=1.0), views=4)(split(torch.zeros(5, 1, 4, 4)), generator())
    assert len(views) == 4 and torch.pdist(torch.stack(views).flatten(1)).min() > 1
    assert len(Noise(std=1.0, views=3)(split(torch.zeros(5, 2)), generator())) == 3


def test_halves_then_augment_augments_each_half():
    """The halves' colours do not mix, and each half has parameters of its own."""
    x = torch.zeros(64, 3, 16, 16, dtype=torch.uint8)
    x[:, 0, :8], x[:, 2, 8:] = 200, 200  # red above, blue below
    pairs = Halves(first="top", then=simclr(jitter=None, grayscale=None))
    top, bottom = (pairs.to_unit(side) for side in pairs(split(x), generator()))
    assert top.shape == bottom.shape == (64, 3, 8, 16)
    red, blue = torch.tensor([200.0, 0, 0]) / 255, torch.tensor([0, 0, 200.0]) / 255
    assert torch.allclose(top, red.view(1, 3, 1, 1).expand_as(top), atol=1e-5)
    assert torch.allclose(bottom, blue.view(1, 3, 1, 1).expand_as(bottom), atol=1e-5)


def test_chains_follow_one_another():
    """Supervised, then halves: the top of one image, the bottom of another of its class."""
    x, y = numbered(4, 1, 4, 4), torch.tensor([0, 0, 1, 1])
    images = data(x, y)
    pairs = Supervised(then=Halves(first="top", then=Raw()))
    pairs.attach(images)
    assert pairs.shapes(images) == ((1, 2, 4), (1, 2, 4))
    first, second = pairs(next(images.train.batches(4)), generator())
    assert torch.equal(first, x[:, :, :2]) and torch.equal(second, x[[1, 0, 3, 2], :, 2:])


def test_augment_after_the_datas_own_partner_sees_both_sides():
    x = torch.full((8, 3, 8, 8), 50, dtype=torch.uint8)
    batch = Split(x, torch.zeros(8), x_prime=x + 100)
    pairs = simclr(jitter=None, grayscale=None)
    first, second = (pairs.to_unit(side) for side in pairs(batch, generator()))
    assert torch.allclose(first, torch.tensor(50 / 255), atol=1e-5)
    assert torch.allclose(second, torch.tensor(150 / 255), atol=1e-5)


def test_what_probes_read_is_normalised_by_what_follows():
    x = torch.randint(0, 256, (3, 3, 12, 12), dtype=torch.uint8)
    pairs = Patches(grid=2, overlap=0.0, then=simclr(size=4))
    assert pairs.clean(split(x)).shape == (3, 4, 3, 4, 4)
    assert pairs.shapes(data(x)) == ((3, 4, 4), (3, 4, 4))
    pairs = Patches(grid=2, overlap=0.0, then=simclr())
    corner = pairs.to_unit(pairs.clean(split(x)))[:, 0]
    assert torch.allclose(corner, x[:, :, :6, :6] / 255, atol=1e-6)


def streamed(root, pairs):
    make_folder(root, count=4)
    source = ["dataset=folder", f"dataset.root={root}", "dataset.memory_gb=0", "dataset.workers=0"]
    config = composed(*source, f"pairs={pairs}")
    return build(config.dataset, "dataset"), build(config.pairs, "pairs")


def test_streamed_images_are_cut_like_those_in_memory(tmp_path):
    images, pairs = streamed(tmp_path, "halves")
    pairs.attach(images)
    assert pairs.shapes(images) == ((3, 4, 8), (3, 4, 8))
    first, _ = pairs(next(images.train.batches(4)), generator())
    assert first.shape == (4, 3, 4, 8)


def test_supervised_pairs_of_streamed_images_are_refused_in_a_line(tmp_path):
    images, pairs = streamed(tmp_path, "supervised")
    with pytest.raises(UserError, match="raise dataset.memory_gb"):
        pairs.attach(images)


CHOICES = sorted(path.stem for path in (CONF / "pairs").glob("*.yaml"))


@pytest.mark.parametrize("chain", [["pairs={}"], ["pairs=halves", "pairs@pairs.then={}"]], ids=["first", "then"])
@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_of_pairs_can_be_built_first_and_after_another(choice, chain):
    config = composed(*(override.format(choice) for override in chain))
    assert isinstance(build(config.pairs, "pairs"), Pairs)


@pytest.mark.parametrize("chain", [["patches"], ["halves", "affine"], ["supervised", "noise"]], ids="-".join)
def test_runs_on_such_pairs_end_with_a_probe_above_chance(chain, tmp_path):
    made, *then = chain
    overrides = [f"pairs={made}", *(f"pairs@pairs.then={name}" for name in then)]
    summary = train(tmp_path / "run", *overrides, "trainer.epochs=1", "dataset.limit=800")
    assert summary["probe/linear/test"] > 0.3 and summary["elbo/test"] is not None
