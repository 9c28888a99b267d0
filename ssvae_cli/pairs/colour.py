"""Colour, blur and noise for a whole batch at once, each sample with its own parameters; x is [B, C, H, W] in [0, 1].

Saturation, hue and grayscale mean nothing for one channel, and leave it alone.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require
from ssvae_cli.pairs.geometry import require_probability, uniform
from ssvae_cli.pairs.resample import separable
from ssvae_cli.ranks import draw

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2 luma, as torchvision and PIL have it


def _each(parameter: Tensor) -> Tensor:
    return parameter.view(-1, 1, 1, 1)


def grey(x: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1, H, W]; one channel stays as it is."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.split(1, dim=1)
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """x * factor, factor [B]."""
    return (x * _each(factor)).clamp_(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean grey by factor, [B]."""
    mean = grey(x).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, x, _each(factor)).clamp_(0, 1)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Away from each pixel's own grey by factor, [B]."""
    return torch.lerp(grey(x), x, _each(factor)).clamp_(0, 1) if x.shape[1] == 3 else x


def adjust_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the colour circle by `turn`, [B], a share of it in [-0.5, 0.5], keeping HSV's value and saturation.

    With the least channel `low` and chroma = greatest - low, the hue in sixths of the circle is, modulo 6,
    1 + (g + b - r - low) / chroma, with the sign of g - b: no case for each greatest channel.
    """
    if x.shape[1] != 3:
        return x
    red, green, blue = x.unbind(1)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = torch.maximum(torch.maximum(red, green), blue).sub_(low)
    hue = (green + blue).sub_(red).sub_(low).div_(chroma.clamp_min(1e-12)).add_(1).copysign_(green - blue)
    hue.add_(6 * turn.view(-1, 1, 1))
    hue.sub_(hue.mul(1 / 6).floor_(), alpha=6)  # within [0, 6)
    # Each channel is low + chroma * a plateau about its own hue, 0, 2 or 4, with slopes of one sixth.
    red, green, blue = (hue - 3).abs_().sub_(1), (hue - 2).abs_().neg_().add_(2), (hue - 4).abs_().neg_().add_(2)
    return torch.stack([red, green, blue], 1).clamp_(0, 1).mul_(chroma[:, None]).add_(low[:, None])


def grayscale(x: Tensor, chosen: Tensor) -> Tensor:
    """Grey where `chosen`, [B] bool, in all channels."""
    return torch.where(_each(chosen), grey(x), x) if x.shape[1] == 3 else x


def solarize(x: Tensor, chosen: Tensor, threshold: float) -> Tensor:
    """1 - x where x is at or above the threshold, for the samples `chosen`, [B] bool."""
    return torch.where(_each(chosen) & (x >= threshold), 1 - x, x)


def gaussian_blur(x: Tensor, sigma: Tensor, chosen: Tensor, kernel: int) -> Tensor:
    """Blur the samples `chosen`, [B] bool, with sigma, [B], in pixels, over an odd `kernel`, edges reflected.

    One banded matrix for rows and one for columns: two small products instead of a convolution per sample.
    """
    taps = torch.arange(kernel, device=x.device) - kernel // 2
    weight = torch.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    weight = weight / weight.sum(1, keepdim=True)
    weight = torch.where(chosen[:, None], weight, (taps == 0).to(weight.dtype))
    rows, columns = (torch.einsum("bt,tij->bij", weight, _reflected(taps, side)) for side in x.shape[2:])
    return separable(x, rows, columns)


def _reflected(taps: Tensor, side: int) -> Tensor:
    """[T, side, side]: entry (t, i, j) is 1 where tap t of pixel i falls on pixel j, reflected at the edges."""
    at = torch.arange(side, device=taps.device) + taps[:, None]
    at = (side - 1) - ((side - 1) - at.abs()).abs()
    return F.one_hot(at, side).float()


class Jitter:
    """Brightness, contrast, saturation and hue, with the parameters of torchvision's ColorJitter.

    One departure: always in this order, where torchvision shuffles it. The first three commute but for clipping.
    """

    def __init__(self, *, brightness: float, contrast: float, saturation: float, hue: float, probability: float):
        for name, value in {"brightness": brightness, "contrast": contrast, "saturation": saturation}.items():
            require(0 <= value <= 1, f"pairs.jitter.{name} must lie in [0, 1], got {value}")
        require(0 <= hue <= 0.5, f"pairs.jitter.hue must lie in [0, 0.5], got {hue}")
        require_probability(probability, "pairs.jitter.probability")
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.probability = probability

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        """Factors about 1 and a hue about 0, [B] each; neutral for samples that are left alone."""
        chosen = uniform(shape[0], 0, 1, generator) < self.probability
        strengths = (self.brightness, self.contrast, self.saturation)
        factors = [uniform(shape[0], 1 - s, 1 + s, generator).where(chosen, 1.0) for s in strengths]
        return *factors, uniform(shape[0], -self.hue, self.hue, generator).where(chosen, 0.0)

    def __call__(self, x: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, turn: Tensor) -> Tensor:
        x = adjust_brightness(x, brightness) if self.brightness else x
        x = adjust_contrast(x, contrast) if self.contrast else x
        x = adjust_saturation(x, saturation) if self.saturation else x
        return adjust_hue(x, turn) if self.hue else x


class Grayscale:
    """Some samples lose their colour."""

    def __init__(self, *, probability: float):
        require_probability(probability, "pairs.grayscale.probability")
        self.probability = probability

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        return (uniform(shape[0], 0, 1, generator) < self.probability,)

    def __call__(self, x: Tensor, chosen: Tensor) -> Tensor:
        return grayscale(x, chosen)


class Blur:
    """Some samples are blurred, each with its own sigma in pixels."""

    def __init__(self, *, kernel: int, sigma: tuple[float, float], probability: float):
        require(kernel >= 3 and kernel % 2 == 1, f"pairs.blur.kernel must be odd and at least 3, got {kernel}")
        require(0 < sigma[0] <= sigma[1], f"pairs.blur.sigma must be 0 < low <= high, got {list(sigma)}")
        require_probability(probability, "pairs.blur.probability")
        self.kernel, self.sigma, self.probability = kernel, sigma, probability

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        side = min(shape[2:])
        require(
            self.kernel < 2 * side,
            f"pairs.blur.kernel must be below {2 * side} for images of {side} pixels, got {self.kernel}",
        )
        sigma = uniform(shape[0], *self.sigma, generator)
        return sigma, uniform(shape[0], 0, 1, generator) < self.probability

    def __call__(self, x: Tensor, sigma: Tensor, chosen: Tensor) -> Tensor:
        return gaussian_blur(x, sigma, chosen, self.kernel)


class Solarize:
    """Some samples are inverted where they are bright."""

    def __init__(self, *, threshold: float, probability: float):
        require_probability(threshold, "pairs.solarize.threshold")
        require_probability(probability, "pairs.solarize.probability")
        self.threshold, self.probability = threshold, probability

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        return (uniform(shape[0], 0, 1, generator) < self.probability,)

    def __call__(self, x: Tensor, chosen: Tensor) -> Tensor:
        return solarize(x, chosen, self.threshold)


class Noise:
    """Gaussian noise, independent in every pixel; the result stays in [0, 1]."""

    def __init__(self, *, std: float):
        require(std >= 0, f"pairs.noise.std must be at least 0, got {std}")
        self.std = std

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
        return (draw(torch.randn, *shape, device=generator.device, generator=generator),)

    def __call__(self, x: Tensor, drawn: Tensor) -> Tensor:
        return torch.add(x, drawn, alpha=self.std).clamp_(0, 1)
