"""Pair generators: what x and x' are, and what they refuse.

1. Every pixel of x and x' is one of the source, at the place that the generator claims.
2. Chance is uniform over what is allowed: patches, windows, images of a class.
3. Data that cannot give such pairs are refused in one line.
"""

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from helpers import composed
from ssvae_cli.datasets import Data, Split
from ssvae_cli.encoders import ConvNet, Encoder
from ssvae_cli.errors import UserError
from ssvae_cli.pairs.base import Identity
from ssvae_cli.pairs.context import Context
from ssvae_cli.pairs.halves import Halves
from ssvae_cli.pairs.latent import Latent
from ssvae_cli.pairs.noise import Noise
from ssvae_cli.pairs.patches import Patches
from ssvae_cli.pairs.supervised import Supervised

CONF = Path(__file__).parents[1] / "conf"


class Raw(Identity):
    """Hands on what was made."""

    def normalise(self, x):
        return x


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def split(x, y=None):
    return Split(x, torch.full((len(x),), -1) if y is None else y)


def data(x, y=None):
    return Data(*[split(x, y)] * 3)


def numbered(n, *shape):
    """Every entry its own number within its sample, which the leading digits tell."""
    size = torch.Size(shape).numel()
    return (torch.arange(n)[:, None] * 10_000 + torch.arange(size)).view(n, *shape)


def test_several_patches_of_an_image_are_of_different_cells_and_in_any_order():
    x = numbered(60, 1, 6, 6)
    views = Patches(grid=3, overlap=0.0, then=Raw(), views=5)(split(x), generator())
    corners = torch.stack([view[:, 0, 0, 0] for view in views], 1)
    assert len(views) == 5 and all(len(row.unique()) == 5 for row in corners)
    assert all(len((side % 10_000).unique()) == 9 for side in corners.T), "every cell at every place"


@pytest.mark.parametrize("height", [6, 7])
def test_halves_are_opposite_and_share_no_pixel(height):
    x = numbered(3, 1, height, 4)
    top, bottom = Halves(first="top", then=Raw())(split(x), generator())
    assert torch.equal(top, x[:, :, :3]) and torch.equal(bottom, x[:, :, -3:])
    left, right = Halves(first="left", then=Raw())(split(x), generator())
    assert torch.equal(left, x[:, :, :, :2]) and torch.equal(right, x[:, :, :, 2:])


@pytest.mark.parametrize("grid, overlap, side", [(7, 0.5, 64), (4, 0.0, 64), (3, 0.5, 128)])
def test_patches_of_256_pixels_have_the_side_that_cpc_gives_them(grid, overlap, side):
    images = data(torch.zeros(2, 1, 256, 256, dtype=torch.uint8))
    pairs = Patches(grid=grid, overlap=overlap, then=Identity())
    pairs.attach(images)
    assert pairs.shapes(images) == ((1, side, side), (1, side, side))


def test_patches_are_two_different_cells_of_one_image_each_pair_as_often():
    x = numbered(1, 1, 9, 9).expand(40_000, -1, -1, -1)
    pairs = Patches(grid=3, overlap=0.0, then=Raw())
    first, second = pairs(split(x), generator())
    assert first.shape == second.shape == (40_000, 1, 3, 3)
    corners = torch.stack([first[:, 0, 0, 0], second[:, 0, 0, 0]])
    row, column = corners // 9, corners % 9
    assert torch.equal(first[:, 0] - first[:, 0, :1, :1], (numbered(1, 9, 9)[:, :3, :3]).expand(40_000, -1, -1))
    assert set(row.unique().tolist()) == set(column.unique().tolist()) == {0, 3, 6}
    cell = row // 3 * 3 + column // 3
    counts = torch.bincount(cell[0] * 9 + cell[1], minlength=81).view(9, 9)
    assert counts.diagonal().sum() == 0
    expected = 40_000 / 72
    assert (counts[~torch.eye(9, dtype=torch.bool)] - expected).abs().max() < 5 * expected**0.5


def test_overlapping_patches_reach_all_of_an_image_that_is_not_square():
    x = numbered(2, 1, 20, 31)
    still = Patches(grid=3, overlap=0.5, then=Raw()).clean(split(x))
    assert still.shape == (2, 9, 1, 10, 15)
    for image, patches in zip(x, still):
        assert patches[0, 0, 0, 0] == image[0, 0, 0] and patches[-1, 0, -1, -1] == image[0, -1, -1]


def test_the_context_is_a_window_and_the_partner_the_step_that_far_ahead():
    x = numbered(2000, 10, 3)
    window, ahead = Context(window=4, ahead=2, future=None, then=Raw())(split(x), generator())
    start = window[:, 0, 0] % 10_000 // 3
    assert window.shape == (2000, 4, 3) and ahead.shape == (2000, 3)
    for i in range(2000):
        assert torch.equal(window[i], x[i, start[i] : start[i] + 4])
        assert torch.equal(ahead[i], x[i, start[i] + 3 + 2])
    assert torch.bincount(start, minlength=5).min() > 300 and start.max() == 4


def test_a_later_window_follows_the_first():
    x = numbered(200, 10, 3)
    pairs = Context(window=3, ahead=2, future=4, then=Raw())
    window, future = pairs(split(x), generator())
    start = window[:, 0, 0] % 10_000 // 3
    assert window.shape == (200, 3, 3) and future.shape == (200, 4, 3)
    for i in range(200):
        assert torch.equal(future[i], x[i, start[i] + 2 + 2 : start[i] + 8])
    assert start.max() == 2 and pairs.shapes(data(x)) == ((3, 3), (4, 3))


def test_probes_read_the_last_window_and_its_factors_where_it_ends():
    x = numbered(2, 10, 3)
    pairs = Context(window=4, ahead=2, future=None, then=Raw())
    assert torch.equal(pairs.clean(split(x)), x[:, -4:])
    factors = torch.randn(2, 10, 5)
    assert torch.equal(pairs.factors(Split(x, torch.zeros(2), factors=factors)), factors[:, -1])


def test_supervised_partners_are_other_images_of_the_class_each_as_often():
    x, y = numbered(7, 1, 2, 2), torch.tensor([0, 1, 0, 1, 0, 1, 0])
    images = data(x, y)
    pairs = Supervised(then=Raw())
    pairs.attach(images)
    rows = torch.arange(7).repeat(3000)
    first, second = pairs(images.train.rows(rows), generator())
    own, partner = (side[:, 0, 0, 0] // 10_000 for side in (first, second))
    assert torch.equal(own, rows) and torch.equal(y[own], y[partner])
    counts = torch.bincount(own * 7 + partner, minlength=49).view(7, 7)
    assert counts.diagonal().sum() == 0
    for i in range(7):
        others = counts[i][(y == y[i]) & (torch.arange(7) != i)]
        assert (others - 3000 / len(others)).abs().max() < 5 * (3000 / len(others)) ** 0.5


def test_supervised_partners_come_from_the_batchs_own_split():
    y = torch.zeros(4, dtype=torch.long)
    images = Data(*(split(numbered(4, 1, 2, 2) + 100_000 * part, y) for part in range(3)))
    pairs = Supervised(then=Raw())
    pairs.attach(images)
    for part, held in enumerate(images.splits.values()):
        batch = next(held.batches(4)).rows(torch.tensor([2, 0]))
        assert (pairs(batch, generator())[1] // 100_000 == part).all()


def test_supervised_pairs_warn_that_they_read_the_labels(caplog):
    Supervised(then=Identity()).attach(data(numbered(4, 1, 2, 2), torch.zeros(4, dtype=torch.long)))
    assert "labels" in caplog.text and "not self-supervised" in caplog.text


def test_noise_is_independent_on_both_sides_and_of_its_deviation():
    x = torch.zeros(20_000, 4)
    first, second = Noise(std=0.3)(split(x), generator())
    assert first.std().item() == pytest.approx(0.3, rel=0.01)
    assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].abs() < 0.02


def simclr(**options):
    return instantiate(composed("pairs=simclr").pairs, _convert_="all", **options)


def test_features_of_several_parts_are_their_mean():
    backbone = partial(ConvNet, width=4, stages=1, stride=1, pool=2)
    encoder = Encoder(shape=(3, 6, 6), backbone=backbone, latent_dim=2, projector=[]).eval()
    x = torch.randn(5, 4, 3, 6, 6)
    each = torch.stack([encoder.features(x[:, i]) for i in range(4)])
    assert torch.allclose(encoder.features(x), each.mean(0))


BYTES = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
LABELS = torch.tensor([0, 0, 0, 1])


def beside(x: torch.Tensor, x_prime: torch.Tensor) -> Data:
    given = Split(x, torch.full((len(x),), -1), x_prime=x_prime)
    return Data(given, given, given)


REFUSED = {
    "grid larger than the image": (Patches(grid=9, overlap=0.0, then=Identity()), data(BYTES), "at most 8 patches"),
    "grid finer than the pixels": (Patches(grid=9, overlap=0.5, then=Identity()), data(BYTES), "at most 8 patches"),
    "patches of vectors": (Patches(grid=2, overlap=0.0, then=Identity()), data(torch.zeros(4, 8)), "pairs=patches"),
    "halves of vectors": (Halves(first="top", then=Identity()), data(torch.zeros(4, 8)), "pairs=halves"),
    "halves of x' as vectors": (Halves(first="top", then=Identity()), beside(BYTES, torch.zeros(4, 8)), "pairs=halves"),
    "patches of a small x'": (Patches(grid=3, overlap=0.0, then=Identity()), beside(BYTES, BYTES[..., :2]), "most 2"),
    "halves of one row": (Halves(first="top", then=Identity()), data(BYTES[:, :, :1]), "no halves"),
    "context of images": (Context(window=2, ahead=1, future=None, then=Identity()), data(BYTES), "needs sequences"),
    "sequences shorter than the window": (
        Context(window=6, ahead=3, future=None, then=Identity()),
        data(torch.zeros(4, 8, 2)),
        "sequences of 8 steps are shorter than window=6 and ahead=3 together$",
    ),
    "sequences whose steps come last": (
        Context(window=6, ahead=3, future=None, then=Identity()),
        data(torch.zeros(4, 2, 8)),
        r"2 steps .* together; one x is \[2, 8\], and steps come first, \[T, D\]$",
    ),
    "one image of a class": (Supervised(then=Identity()), data(BYTES, LABELS), "alone of the class 1"),
    "supervised without labels": (Supervised(then=Identity()), data(BYTES), "needs a label"),
    "latent without a conditional": (Latent(then=Identity()), data(BYTES), "conditional"),
    "augmenting the windows of a series": (
        Context(window=2, ahead=1, future=None, then=simclr()),
        data(torch.zeros(4, 8, 2)),
        "images of 1 or 3 channels",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_data_that_cannot_give_such_pairs_are_refused_in_a_line(name):
    pairs, given, said = REFUSED[name]
    with pytest.raises(UserError, match=said) as error:
        pairs.attach(given)
    assert "\n" not in str(error.value)


SETTINGS = {
    "grid of one": (lambda: Patches(grid=1, overlap=0.0, then=Identity()), "grid"),
    "overlap of one": (lambda: Patches(grid=2, overlap=1.0, then=Identity()), "overlap"),
    "window of none": (lambda: Context(window=0, ahead=1, future=None, then=Identity()), "window"),
    "no step ahead": (lambda: Context(window=1, ahead=0, future=None, then=Identity()), "ahead"),
    "no future": (lambda: Context(window=1, ahead=1, future=0, then=Identity()), "future"),
    "noise of zero": (lambda: Noise(std=0.0), "std"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_out_of_range_are_refused_in_a_line(name):
    make, setting = SETTINGS[name]
    with pytest.raises(UserError, match=f"^{setting} must .*$"):
        make()
