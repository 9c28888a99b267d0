"""Pairs of augmented views: fixed by a seed, different from each other, and computed without waiting for the host."""

import pytest
import torch
from hydra.utils import instantiate
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers import composed
from ssvae_cli.datasets import Data, Split
from ssvae_cli.errors import UserError
from ssvae_cli.pairs import colour, geometry


def preset(name, **options):
    return instantiate(composed(f"pairs={name}").pairs, _convert_="all", **options)


IMAGES = {
    "affine": torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8),
    "simclr": torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8),
}


def batch(x):
    return Split(x, torch.full((len(x),), -1))


@pytest.mark.parametrize("name", IMAGES)
def test_a_seed_fixes_the_pairs_whatever_else_draws(name):
    pairs, x = preset(name), batch(IMAGES[name])
    first = pairs(x, torch.Generator().manual_seed(3))
    torch.rand(100)
    second = pairs(x, torch.Generator().manual_seed(3))
    third = pairs(x, torch.Generator().manual_seed(4))
    assert all(map(torch.equal, first, second)) and not torch.equal(first[0], third[0])


@pytest.mark.parametrize("name", IMAGES)
def test_views_differ_from_each_other_and_from_sample_to_sample(name):
    pairs = preset(name)
    x = IMAGES[name][:1].expand(8, -1, -1, -1)
    view, view_prime = pairs(batch(x), torch.Generator().manual_seed(0))
    everything = torch.cat([view, view_prime]).flatten(1)
    assert torch.pdist(everything).min() > 0.1
    assert view.shape == x.shape and view.dtype == torch.float32


@pytest.mark.parametrize("name", IMAGES)
def test_clean_images_are_the_images_normalised(name):
    pairs, x = preset(name), IMAGES[name]
    assert torch.allclose(pairs.to_unit(pairs.clean(batch(x))), x / 255, atol=1e-6)


def test_a_size_other_than_the_images_is_kept_by_views_and_clean_images():
    pairs, x = preset("simclr", size=20), batch(IMAGES["simclr"])
    assert pairs(x, torch.Generator().manual_seed(0))[0].shape[2:] == (20, 20)
    assert pairs.clean(x).shape[2:] == (20, 20)
    assert pairs.shapes(Data(x, x, x)) == ((3, 20, 20), (3, 20, 20))


def test_identity_gives_what_the_data_bring_along():
    x, x_prime = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8), torch.randn(6, 5)
    split = Split(x, torch.zeros(6), x_prime)
    pairs = preset("identity")
    assert pairs.shapes(Data(split, split, split)) == ((3, 8, 8), (5,))
    ours = pairs(split, torch.Generator())
    assert torch.allclose(pairs.to_unit(ours[0]), x / 255, atol=1e-6) and torch.equal(ours[1], x_prime)


@pytest.mark.parametrize("name, shape", [("affine", (4,)), ("simclr", (2, 8, 8)), ("identity", (1, 8, 8))])
def test_pairs_that_the_data_cannot_give_are_refused(name, shape):
    split = batch(torch.zeros(3, *shape))
    with pytest.raises(UserError, match="pairs"):
        preset(name).attach(Data(split, split, split))


EVERYTHING = {
    "affine": geometry.Affine(degrees=20, translate=0.1, scale=(0.8, 1.2), shear=15),
    "blur": colour.Blur(kernel=9, sigma=(0.1, 2.0), probability=0.5),
    "solarize": colour.Solarize(threshold=0.5, probability=0.2),
    "noise": colour.Noise(std=0.1),
}


@pytest.mark.parametrize("name, options", [("affine", {}), ("simclr", {}), ("simclr", EVERYTHING)])
def test_views_are_one_graph_without_recompiling(name, options):
    """Random numbers come from a generator, which a graph cannot hold: they are drawn outside of it."""
    torch._dynamo.reset()
    pairs, x = preset(name, **options), IMAGES[name]
    compiled = torch.compile(pairs.apply, fullgraph=True, backend="eager")
    torch._dynamo.utils.counters.clear()
    for seed in range(3):
        drawn = pairs.draw(x.shape, torch.Generator().manual_seed(seed))
        assert torch.allclose(compiled(x, *drawn), pairs.apply(x, *drawn), atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


class NoTransfer(TorchDispatchMode):
    """Raises where a tensor moves from one device to another."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        devices = {t.device.type for t in tree_leaves((args, result)) if isinstance(t, torch.Tensor) and t.ndim}
        assert len(devices) <= 1, f"{function} moves a tensor"
        return result


@pytest.mark.parametrize("name, options", [("affine", {}), ("simclr", {"size": 16}), ("simclr", EVERYTHING)])
def test_views_on_a_gpu_move_nothing_between_it_and_the_host(name, options):
    """On tensors that claim to be a GPU's; asking for one of their values, or how many are true, raises too."""
    pairs, x = preset(name, **options), IMAGES[name]
    drawn = pairs.draw(x.shape, torch.Generator().manual_seed(0))
    with FakeTensorMode():
        on_gpu = lambda t: torch.empty(t.shape, dtype=t.dtype, device="cuda")
        with NoTransfer():
            view = pairs.apply(on_gpu(x), *(tuple(map(on_gpu, parameters)) for parameters in drawn))
    assert view.device.type == "cuda" and view.shape == (*x.shape[:2], *pairs.resample.out(x.shape[2:]))


def test_that_check_sees_a_transfer_and_a_question():
    with FakeTensorMode(), NoTransfer():
        x = torch.empty(3, device="cuda")
        with pytest.raises(AssertionError, match="moves"):
            x.cpu()
        with pytest.raises(RuntimeError):
            x.nonzero()


JITTER = ("brightness", "contrast", "saturation")
BAD = {
    "crop.scale reversed": ("scale", lambda: geometry.Crop(scale=(1.0, 0.2), ratio=(0.75, 1.33))),
    "crop.scale above one": ("scale", lambda: geometry.Crop(scale=(0.2, 2.0), ratio=(0.75, 1.33))),
    "affine.scale of zero": ("scale", lambda: geometry.Affine(degrees=0, translate=0, scale=(0.0, 1.0), shear=0)),
    "hue past the circle": ("hue", lambda: colour.Jitter(**dict.fromkeys(JITTER, 0), hue=0.6, probability=1)),
    "probability above one": ("probability", lambda: colour.Grayscale(probability=1.5)),
    "negative noise": ("std", lambda: colour.Noise(std=-0.1)),
    "even kernel": ("kernel", lambda: colour.Blur(kernel=4, sigma=(0.1, 2.0), probability=0.5)),
}


@pytest.mark.parametrize("name", BAD)
def test_settings_out_of_range_are_refused_in_a_line(name):
    setting, make = BAD[name]
    with pytest.raises(UserError, match=f"^{setting}.* must .*got.*$"):
        make()
