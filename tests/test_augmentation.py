"""The batched augmentation against torchvision's functional operations with the same parameters, sample by sample.

1. Colour within 1/255, geometry within 2/255 in the mean.
2. Parameters are distributed as torchvision's classes draw them (Kolmogorov-Smirnov).
"""

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import ColorJitter, InterpolationMode, RandomAffine, RandomResizedCrop
from torchvision.transforms.v2 import functional as TF

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


def blur(kernel):
    return colour.Blur(kernel=kernel, sigma=(0.1, 2.0), probability=0.5)


CHOICES = {
    "grayscale": (colour.Grayscale(probability=0.5), (), lambda x, _: TF.rgb_to_grayscale(x, 3)),
    "solarize": (colour.Solarize(threshold=0.5, probability=0.5), (), lambda x, _: TF.solarize(x, 0.5)),
    "blur over 3": (blur(3), (linspace(0.1, 2.0),), lambda x, s: TF.gaussian_blur(x, 3, s)),
    "blur over 9": (blur(9), (linspace(0.1, 2.0),), lambda x, s: TF.gaussian_blur(x, 9, s)),
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
    shift, bilinear = [shift_x * x.shape[2], shift_y * x.shape[1]], InterpolationMode.BILINEAR
    return TF.affine(x, angle=angle, translate=shift, scale=scale, shear=[shear, 0.0], interpolation=bilinear)


@pytest.mark.parametrize("points", [1, 2])
@pytest.mark.parametrize("flipped", [False, True])
def test_affine_equals_torchvision_per_sample(flipped, points, photos):
    x = photos[:, :, :, :28].contiguous()  # not square, so that a swapped axis shows
    affine = geometry.Affine(degrees=40, translate=0.2, scale=(0.7, 1.4), shear=20)
    moves = affine.draw(N, torch.Generator().manual_seed(0))
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
