"""Colour, blur and noise for a whole batch at once, each sample with its own parameters; x is [B, C, H, W] in [0, 1].

Saturation, hue and grayscale leave images of one channel unchanged."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.distributed.collectives import draw_rows
from ssvae_cli.errors import require, require_at_least, require_within
from ssvae_cli.pairs.geometry import uniform

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2 luma, as in torchvision and PIL


def grey(x: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1, H, W]; one channel stays unchanged."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.split(1, dim=1)
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """x * factor, factor [B]."""
    return (x * factor[:, None, None, None]).clamp_(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean grey by factor, [B]."""
    return torch.lerp(grey(x).mean((1, 2, 3), keepdim=True), x, factor[:, None, None, None]).clamp_(0, 1)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Away from each pixel's own grey by factor, [B]."""
    return torch.lerp(grey(x), x, factor[:, None, None, None]).clamp_(0, 1) if x.shape[1] == 3 else x


def adjust_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Rotate the colour circle by `turn`, [B], a share of it in [-0.5, 0.5], keeping HSV's value and saturation."""
    if x.shape[1] != 3:
        return x
    red, green, blue = x.unbind(1)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = torch.maximum(torch.maximum(red, green), blue).sub_(low)
    # The hue in sixths of the circle, modulo 6: 1 + (g + b - r - low) / chroma, with the sign of g - b. No case
    # distinction by the largest channel is needed.
    hue = (green + blue).sub_(red).sub_(low).div_(chroma.clamp_min(1e-12)).add_(1).copysign_(green - blue)
    hue.add_(6 * turn.view(-1, 1, 1))
    hue.sub_(hue.mul(1 / 6).floor_(), alpha=6)  # within [0, 6)
    # Each channel is low + chroma * a plateau about its own hue, 0, 2 or 4, with slopes of one sixth.
    red, green, blue = (hue - 3).abs_().sub_(1), (hue - 2).abs_().neg_().add_(2), (hue - 4).abs_().neg_().add_(2)
    return torch.stack([red, green, blue], 1).clamp_(0, 1).mul_(chroma[:, None]).add_(low[:, None])


def gaussian_blur(x: Tensor, sigma: Tensor, kernel: int) -> Tensor:
    """Blur with sigma, [B], in pixels, by an odd `kernel`, edges reflected: along rows, then along columns."""
    batch, channels, height, width = x.shape
    reach = kernel // 2
    taps = torch.arange(-reach, reach + 1, device=x.device)
    weight = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    weight = (weight / weight.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    x = F.pad(x, (reach, reach, reach, reach), mode="reflect").view(1, batch * channels, height + 2 * reach, -1)
    x = F.conv2d(x, weight[:, None, None, :], groups=batch * channels)
    return F.conv2d(x, weight[:, None, :, None], groups=batch * channels).view(batch, channels, height, width)


def for_chosen(operation: Callable[..., Tensor], x: Tensor, chosen: Tensor, *parameters: Tensor) -> Tensor:
    """operation(x, *parameters) for the samples `chosen`, [B] bool, x for the others; x may be overwritten."""
    # A compiled graph has one shape, and a GPU would have to wait for the number of chosen: compute all samples.
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return torch.where(chosen[:, None, None, None], operation(x, *parameters), x)
    rows = chosen.nonzero().flatten()
    return x.index_copy_(0, rows, operation(x[rows], *(p[rows] for p in parameters))) if len(rows) else x


class Jitter:
    """Brightness, contrast, saturation and hue, with the parameters of torchvision's ColorJitter."""

    def __init__(self, *, brightness: float, contrast: float, saturation: float, hue: float, probability: float):
        require_within(0, 1, brightness=brightness, contrast=contrast, saturation=saturation, probability=probability)
        require_within(0, 0.5, hue=hue)
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.probability = probability

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Which samples are jittered, then factors about 1 and a hue about 0; [B] each."""
        chosen = uniform(shape[0], 0, 1, generator) < self.probability
        strengths = (self.brightness, self.contrast, self.saturation)
        factors = (uniform(shape[0], 1 - s, 1 + s, generator) for s in strengths)
        return chosen, *factors, uniform(shape[0], -self.hue, self.hue, generator)

    def __call__(self, x: Tensor, chosen: Tensor, *factors: Tensor) -> Tensor:
        return self.adjust(x, *factors) if self.probability == 1 else for_chosen(self.adjust, x, chosen, *factors)

    def adjust(self, x: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, turn: Tensor) -> Tensor:
        """All samples by their factors, [B] each."""
        # torchvision shuffles this order; the first three commute except for clipping.
        x = adjust_brightness(x, brightness) if self.brightness else x
        x = adjust_contrast(x, contrast) if self.contrast else x
        x = adjust_saturation(x, saturation) if self.saturation else x
        return adjust_hue(x, turn) if self.hue else x


class Grayscale:
    """Some samples lose their colour."""

    def __init__(self, *, probability: float):
        require_within(0, 1, probability=probability)
        self.probability = probability

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        return (uniform(shape[0], 0, 1, generator) < self.probability,)

    def __call__(self, x: Tensor, chosen: Tensor) -> Tensor:
        return for_chosen(lambda x: grey(x).expand_as(x), x, chosen)


class Blur:
    """Some samples are blurred, each with its own sigma in pixels."""

    def __init__(self, *, kernel: int, sigma: tuple[float, float], probability: float):
        require(kernel >= 3 and kernel % 2 == 1, f"kernel must be odd and at least 3, got {kernel}")
        require(0 < sigma[0] <= sigma[1], f"sigma must be 0 < low <= high, got {list(sigma)}")
        require_within(0, 1, probability=probability)
        self.kernel, self.sigma, self.probability = kernel, sigma, probability

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        side = min(shape[2:])
        require(self.kernel < 2 * side, f"kernel must be below {2 * side} for {side}-pixel images, got {self.kernel}")
        return uniform(shape[0], *self.sigma, generator), uniform(shape[0], 0, 1, generator) < self.probability

    def __call__(self, x: Tensor, sigma: Tensor, chosen: Tensor) -> Tensor:
        return for_chosen(partial(gaussian_blur, kernel=self.kernel), x, chosen, sigma)


class Solarize:
    """Some samples are inverted at pixels at or above the threshold."""

    def __init__(self, *, threshold: float, probability: float):
        require_within(0, 1, threshold=threshold, probability=probability)
        self.threshold, self.probability = threshold, probability

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        return (uniform(shape[0], 0, 1, generator) < self.probability,)

    def __call__(self, x: Tensor, chosen: Tensor) -> Tensor:
        return for_chosen(lambda x: torch.where(x >= self.threshold, 1 - x, x), x, chosen)


class Noise:
    """Gaussian noise, independent in every pixel; the result stays in [0, 1]."""

    def __init__(self, *, std: float):
        require_at_least(0, std=std)
        self.std = std

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        return (draw_rows(torch.randn, *shape, device=generator.device, generator=generator),)

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        return torch.add(x, noise, alpha=self.std).clamp_(0, 1)
