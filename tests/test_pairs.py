"""Pairs: each batched operation against torchvision's functional one with the same parameters, sample by sample.

1. Colour within 1/255, geometry within 2/255 in the mean.
2. Parameters are distributed as torchvision's classes draw them (Kolmogorov-Smirnov).
3. A seed fixes the pairs, whatever else draws; samples and views differ among themselves.
4. One graph, without recompiling from batch to batch.
"""

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.v2 import functional as TF

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import UserError
from ssvae_cli.pairs import colour, geometry

N = 24


@pytest.fixture
def photos():
    """Smooth coloured images, with flat grey and saturated corners, [N, 3, 32, 32]."""
    g = torch.Generator().manual_seed(1)
    x = TF.resize(torch.rand(N, 3, 6, 6, generator=g), [32, 32], antialias=True).clamp(0, 1)
    x[:, :, :4, :4] = 0.5
    x[:, :, -4:, -4:] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    return x


def linspace(low, high):
    return torch.linspace(low, high, N)


COLOUR = {
    "brightness": (colour.adjust_brightness, TF.adjust_brightness, linspace(0.2, 1.8)),
    "contrast": (colour.adjust_contrast, TF.adjust_contrast, linspace(0.2, 1.8)),
    "saturation": (colour.adjust_saturation, TF.adjust_saturation, linspace(0.0, 2.0)),
    "hue": (colour.adjust_hue, TF.adjust_hue, linspace(-0.5, 0.5)),
}


@pytest.mark.parametrize("name", COLOUR)
def test_colour_equals_torchvision_per_sample(name, photos):
    ours, theirs, factors = COLOUR[name]
    expected = torch.stack([theirs(x, float(f)) for x, f in zip(photos, factors)])
    assert (ours(photos.clone(), factors) - expected).abs().max() < 1 / 255


def test_grayscale_equals_torchvision_where_chosen(photos):
    chosen = torch.arange(N) % 2 == 0
    ours = colour.grayscale(photos, chosen)
    assert (ours[chosen] - TF.rgb_to_grayscale(photos[chosen], 3)).abs().max() < 1 / 255
    assert torch.equal(ours[~chosen], photos[~chosen])


def test_solarize_equals_torchvision_where_chosen(photos):
    chosen = torch.arange(N) % 2 == 0
    ours = colour.solarize(photos, chosen, 0.5)
    assert torch.equal(ours[chosen], TF.solarize(photos[chosen], 0.5))
    assert torch.equal(ours[~chosen], photos[~chosen])


@pytest.mark.parametrize("kernel", [3, 9])
def test_blur_equals_torchvision_per_sample(kernel, photos):
    sigma, chosen = linspace(0.1, 2.0), torch.arange(N) % 3 != 0
    expected = torch.stack(
        [TF.gaussian_blur(x, kernel, float(s)) if c else x for x, s, c in zip(photos, sigma, chosen)]
    )
    assert (colour.gaussian_blur(photos, sigma, chosen, kernel) - expected).abs().max() < 1 / 255


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (20, 44)])
def test_crop_and_flip_equal_torchvision_per_sample(size, photos):
    g = torch.Generator().manual_seed(0)
    boxes = geometry.Crop(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)).draw(N, 32, 32, g)
    flip = torch.arange(N) % 2 == 0
    ours = geometry.resized_crop(photos, boxes, flip, size)
    for x, box, flipped, got in zip(photos, boxes.int().tolist(), flip, ours):
        expected = TF.resized_crop(x, *box, list(size), antialias=True)
        expected = TF.horizontal_flip(expected) if flipped else expected
        assert (got - expected).abs().mean() < 2 / 255
        assert (got - expected).abs().max() < 5 / 255


@pytest.mark.parametrize("flipped", [False, True])
def test_affine_equals_torchvision_per_sample(flipped, photos):
    x = photos[:, :, :, :28].contiguous()  # not square, so that a swapped axis shows
    drawn = geometry.Affine(degrees=40, translate=0.2, scale=(0.7, 1.4), shear=20).draw(
        N, torch.Generator().manual_seed(0)
    )
    ours = geometry.affine(x, torch.full((N,), flipped), **drawn)
    for i in range(N):
        p = {k: v[i].item() for k, v in drawn.items()}
        expected = TF.affine(
            x[i],
            angle=p["angle"],
            translate=[p["shift_x"] * 28, p["shift_y"] * 32],
            scale=p["scale"],
            shear=[p["shear"], 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        given = TF.horizontal_flip(x[i]) if flipped else x[i]
        expected = (
            expected
            if not flipped
            else TF.affine(
                given,
                angle=p["angle"],
                translate=[p["shift_x"] * 28, p["shift_y"] * 32],
                scale=p["scale"],
                shear=[p["shear"], 0.0],
                interpolation=InterpolationMode.BILINEAR,
            )
        )
        assert (ours[i] - expected).abs().mean() < 2 / 255, i


@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.9, 1.0)])  # the second often needs a second attempt
def test_boxes_are_distributed_as_torchvision_draws_them(scale):
    ratio = (3 / 4, 4 / 3)
    ours = geometry.Crop(scale=scale, ratio=ratio).draw(100_000, 32, 48, torch.Generator().manual_seed(0))
    image = torch.zeros(3, 32, 48)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(4000)])
    for k, name in enumerate(("top", "left", "height", "width")):
        assert ks_2samp(ours[:, k].numpy(), theirs[:, k].numpy()).pvalue > 1e-3, name


def test_jitter_is_uniform_where_applied_and_neutral_elsewhere():
    jitter = colour.Jitter(brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1, probability=0.8)
    drawn = jitter.draw(100_000, torch.Generator().manual_seed(0))
    for name, (centre, strength) in {
        "brightness": (1, 0.4),
        "contrast": (1, 0.3),
        "saturation": (1, 0.2),
        "hue": (0, 0.1),
    }.items():
        moved = drawn[name][drawn[name] != centre]
        assert abs(len(moved) / 100_000 - 0.8) < 0.01
        uniform = torch.linspace(centre - strength, centre + strength, 50_000)
        assert ks_2samp(moved.numpy(), uniform.numpy()).pvalue > 1e-3, name


def preset(name, **options):
    from hydra import compose, initialize_config_module
    from hydra.utils import instantiate

    with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
        config = compose(f"pairs/{name}").pairs
    return instantiate(config, _convert_="all", **options)


IMAGES = {
    "digits": torch.randint(0, 256, (16, 1, 8, 8), dtype=torch.uint8),
    "natural": torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8),
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


def test_a_size_of_its_own_is_kept_by_views_and_clean_images():
    pairs, x = preset("natural", size=20), batch(IMAGES["natural"])
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


@pytest.mark.parametrize("name, shape", [("digits", (4,)), ("natural", (2, 8, 8)), ("identity", (1, 8, 8))])
def test_pairs_that_the_data_cannot_give_are_refused(name, shape):
    split = batch(torch.zeros(3, *shape))
    with pytest.raises(UserError, match="pairs"):
        preset(name).attach(Data(split, split, split))


def test_pairs_are_one_graph_and_do_not_recompile():
    """The random numbers come from a generator, which a graph cannot hold: they are drawn outside of it."""
    torch._dynamo.reset()
    draw = geometry.Crop(scale=(0.2, 1.0), ratio=(0.75, 1.33)).draw
    boxes = [draw(8, 32, 32, torch.Generator().manual_seed(i)) for i in range(3)]

    def apply(x, boxes, flip, factor):
        x = geometry.resized_crop(x, boxes, flip, (32, 32))
        x = colour.adjust_hue(colour.adjust_contrast(colour.adjust_brightness(x, factor), factor), factor - 1)
        return colour.gaussian_blur(x, factor, flip, 5)

    compiled = torch.compile(apply, fullgraph=True, backend="eager")
    x = torch.rand(8, 3, 32, 32)
    torch._dynamo.utils.counters.clear()
    for i, box in enumerate(boxes):
        args = (x, box, torch.arange(8) % 2 == i % 2, torch.linspace(0.5, 1.5, 8))
        assert torch.allclose(compiled(*args), apply(*args), atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


BAD = {
    "crop.scale reversed": lambda: geometry.Crop(scale=(1.0, 0.2), ratio=(0.75, 1.33)),
    "crop.scale above one": lambda: geometry.Crop(scale=(0.2, 2.0), ratio=(0.75, 1.33)),
    "affine.scale of zero": lambda: geometry.Affine(degrees=0, translate=0, scale=(0.0, 1.0), shear=0),
    "jitter.hue past the circle": lambda: colour.Jitter(brightness=0, contrast=0, saturation=0, hue=0.6, probability=1),
    "probability above one": lambda: colour.Grayscale(probability=1.5),
    "negative noise": lambda: colour.Noise(std=-0.1),
    "even kernel": lambda: colour.Blur(kernel=4, sigma=(0.1, 2.0), probability=0.5),
}


@pytest.mark.parametrize("name", BAD)
def test_settings_out_of_range_are_refused_in_a_line(name):
    with pytest.raises(UserError) as error:
        BAD[name]()
    assert "pairs." in str(error.value) and "\n" not in str(error.value)
