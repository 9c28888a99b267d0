"""Pairs: each batched operation against torchvision's functional one with the same parameters, sample by sample.

1. Colour within 1/255, geometry within 2/255 in the mean.
2. Parameters are distributed as torchvision's classes draw them (Kolmogorov-Smirnov).
3. A seed fixes the pairs, whatever else draws; samples and views differ among themselves.
4. One graph, without recompiling from batch to batch; on a GPU nothing waits for the host.
"""

import pytest
import torch
from scipy.stats import ks_2samp
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.transforms import ColorJitter, InterpolationMode, RandomAffine, RandomResizedCrop
from torchvision.transforms.v2 import functional as TF

from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.errors import UserError
from ssvae_cli.pairs import colour, geometry, resample

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


CHOICES = {
    "grayscale": (colour.Grayscale(probability=0.5), (), lambda x, _: TF.rgb_to_grayscale(x, 3)),
    "solarize": (colour.Solarize(threshold=0.5, probability=0.5), (), lambda x, _: TF.solarize(x, 0.5)),
    "blur over 3": (
        colour.Blur(kernel=3, sigma=(0.1, 2.0), probability=0.5),
        (linspace(0.1, 2.0),),
        lambda x, s: TF.gaussian_blur(x, 3, s),
    ),
    "blur over 9": (
        colour.Blur(kernel=9, sigma=(0.1, 2.0), probability=0.5),
        (linspace(0.1, 2.0),),
        lambda x, s: TF.gaussian_blur(x, 9, s),
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_an_operation_equals_torchvision_where_chosen_and_leaves_the_others(name, photos):
    operation, parameters, theirs = CHOICES[name]
    chosen = torch.arange(N) % 3 == 0
    given = (chosen, *parameters) if "blur" not in name else (*parameters, chosen)
    ours = operation(photos.clone(), *given)
    expected = torch.stack([theirs(x, float(parameters[0][i]) if parameters else None) for i, x in enumerate(photos)])
    assert (ours - expected)[chosen].abs().max() < 1 / 255
    assert torch.equal(ours[~chosen], photos[~chosen])
    assert torch.equal(operation(photos.clone(), *(g & False if g is chosen else g for g in given)), photos)


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (20, 44)])
def test_crop_and_flip_equal_torchvision_per_sample(size, photos):
    g = torch.Generator().manual_seed(0)
    boxes = geometry.Crop(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)).draw(N, 32, 32, g)
    flip = torch.arange(N) % 2 == 0
    ours = resample.resized_crop(photos, boxes, flip, size)
    for x, box, flipped, got in zip(photos, boxes.int().tolist(), flip, ours):
        expected = TF.resized_crop(x, *box, list(size), antialias=True)
        expected = TF.horizontal_flip(expected) if flipped else expected
        assert (got - expected).abs().mean() < 2 / 255
        assert (got - expected).abs().max() < 5 / 255


def torchvision_affine(x, move):
    angle, shear, shift_x, shift_y, scale = move.tolist()
    return TF.affine(
        x,
        angle=angle,
        translate=[shift_x * x.shape[2], shift_y * x.shape[1]],
        scale=scale,
        shear=[shear, 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("flipped", [False, True])
def test_affine_equals_torchvision_per_sample(flipped, points, photos):
    x = photos[:, :, :, :28].contiguous()  # not square, so that a swapped axis shows
    moves = geometry.Affine(degrees=40, translate=0.2, scale=(0.7, 1.4), shear=20).draw(
        N, torch.Generator().manual_seed(0)
    )
    boxes, flip = resample.whole(N, (32, 28), x.device), torch.full((N,), flipped)
    ours = resample.moved_crop(x, boxes, flip, moves, (32, 28), points)
    for i in range(N):
        expected = torchvision_affine(TF.horizontal_flip(x[i]) if flipped else x[i], moves[i])
        assert (ours[i] - expected).abs().mean() < 2 / 255, i


@pytest.mark.parametrize("size", [(32, 32), (16, 24)])
def test_crop_flip_and_affine_in_one_equal_torchvisions_three_inside_the_crop(size, photos):
    g = torch.Generator().manual_seed(0)
    photos = TF.gaussian_blur(photos, 9, 2.0)  # torchvision interpolates twice, which sharp edges would show
    boxes = geometry.Crop(scale=(0.3, 1.0), ratio=(3 / 4, 4 / 3)).draw(N, 32, 32, g)
    moves = geometry.Affine(degrees=30, translate=0.1, scale=(1.0, 1.3), shear=10).draw(N, g)
    flip = torch.arange(N) % 2 == 0
    ours = resample.moved_crop(photos, boxes, flip, moves, size, points=2)
    for i in range(N):
        cropped = TF.resized_crop(photos[i], *boxes[i].int().tolist(), list(size), antialias=True)
        expected = torchvision_affine(TF.horizontal_flip(cropped) if flip[i] else cropped, moves[i])
        inside = torchvision_affine(torch.ones_like(cropped), moves[i]) > 0.999
        assert (ours[i] - expected)[inside].abs().mean() < 2 / 255, i


def test_an_affine_that_shrinks_is_antialiased_as_the_crop_is():
    """Halved, white noise keeps the deviation that the triangle filter leaves it; plain interpolation keeps more."""
    x = torch.rand(64, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    boxes, flip = resample.whole(64, (64, 64), x.device), torch.zeros(64, dtype=torch.bool)
    still = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0]).expand(64, 5)
    exact = resample.resized_crop(x, boxes, flip, (32, 32))
    ours, plain = (resample.moved_crop(x, boxes, flip, still, (32, 32), points) for points in (2, 1))
    assert ours.std().item() == pytest.approx(exact.std().item(), rel=0.1)
    assert plain.std() > 1.3 * exact.std()
    assert (ours - exact).abs().mean() < 0.5 * (plain - exact).abs().mean()


def test_where_nothing_shrinks_more_points_change_nothing(photos):
    boxes, flip = resample.whole(N, (32, 32), photos.device), torch.zeros(N, dtype=torch.bool)
    turns = torch.tensor([30.0, 0.0, 0.1, 0.0, 1.2]).expand(N, 5)
    one, three = (resample.moved_crop(photos, boxes, flip, turns, (32, 32), points) for points in (1, 3))
    assert torch.allclose(one, three, atol=1e-4)


@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.9, 1.0)])  # the second often needs a second attempt
def test_boxes_are_distributed_as_torchvision_draws_them(scale):
    ratio = (3 / 4, 4 / 3)
    ours = geometry.Crop(scale=scale, ratio=ratio).draw(100_000, 32, 48, torch.Generator().manual_seed(0))
    image = torch.zeros(3, 32, 48)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(4000)])
    for k, name in enumerate(("top", "left", "height", "width")):
        assert ks_2samp(ours[:, k].numpy(), theirs[:, k].numpy()).pvalue > 1e-3, name


def test_affine_moves_are_distributed_as_torchvision_draws_them():
    """On an image so large that torchvision's rounding to whole pixels does not show."""
    ranges = {"degrees": 20, "translate": 0.1, "scale": (0.8, 1.2), "shear": 15}
    ours = geometry.Affine(**ranges).draw(100_000, torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    degrees, shear = (-20.0, 20.0), [-15.0, 15.0]
    drawn = [RandomAffine.get_params(degrees, (0.1, 0.1), (0.8, 1.2), shear, [100_000] * 2) for _ in range(4000)]
    theirs = torch.tensor([(a, h[0], t[0] / 1e5, t[1] / 1e5, s) for a, t, s, h in drawn])
    for k, name in enumerate(("angle", "shear", "shift x", "shift y", "scale")):
        assert ks_2samp(ours[:, k].numpy(), theirs[:, k].numpy()).pvalue > 1e-3, name


def test_jitter_is_distributed_as_torchvision_draws_it():
    strengths = {"brightness": 0.4, "contrast": 0.3, "saturation": 0.2, "hue": 0.1}
    jitter = colour.Jitter(**strengths, probability=0.8)
    ours = jitter.draw((100_000,), torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    peer = ColorJitter(**strengths)
    ranges = (peer.brightness, peer.contrast, peer.saturation, peer.hue)
    theirs = torch.tensor([ColorJitter.get_params(*ranges)[1:] for _ in range(4000)])
    assert abs(ours[0].float().mean().item() - 0.8) < 0.01
    for k, name in enumerate(strengths):
        assert ks_2samp(ours[k + 1].numpy(), theirs[:, k].numpy()).pvalue > 1e-3, name


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


EVERYTHING = {
    "affine": geometry.Affine(degrees=20, translate=0.1, scale=(0.8, 1.2), shear=15),
    "blur": colour.Blur(kernel=9, sigma=(0.1, 2.0), probability=0.5),
    "solarize": colour.Solarize(threshold=0.5, probability=0.2),
    "noise": colour.Noise(std=0.1),
}


@pytest.mark.parametrize("name, options", [("digits", {}), ("natural", {}), ("natural", EVERYTHING)])
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


@pytest.mark.parametrize("name, options", [("digits", {}), ("natural", {"size": 16}), ("natural", EVERYTHING)])
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
