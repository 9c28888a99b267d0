"""Colour, blur and noise for a whole batch at once, each sample with its own parameters; x is [B, C, H, W] in [0, 1].

Saturation, hue and grayscale mean nothing for one channel, and leave it alone.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require
from ssvae_cli.pairs.geometry import require_probability, uniform
from ssvae_cli.ranks import draw

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601-2 luma, as torchvision and PIL have it


def _each(parameter: Tensor) -> Tensor:
    return parameter.view(-1, 1, 1, 1)


def grey(x: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1, H, W]; one channel stays as it is."""
    if x.shape[1] == 1:
        return x
    return (x * torch.tensor(GREY, device=x.device, dtype=x.dtype).view(1, 3, 1, 1)).sum(1, keepdim=True)


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
    """Turn the colour circle by `turn`, [B], a share of it in [-0.5, 0.5], keeping HSV's value and saturation."""
    if x.shape[1] != 3:
        return x
    red, green, blue = x.unbind(1)
    value, low = x.amax(1), x.amin(1)
    chroma = value - low
    safe = chroma.clamp_min(1e-12)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = hue + 6 * turn.view(-1, 1, 1)
    # HSV to RGB in closed form: channel n is value - chroma * clamp(min(k, 4 - k), 0, 1), k = (n + hue) mod 6.
    offsets = torch.tensor([5.0, 3.0, 1.0], device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    k = (hue[:, None] + offsets).remainder_(6)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp_(0, 1)


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
    return rows[:, None] @ x @ columns.mT[:, None]


def _reflected(taps: Tensor, side: int) -> Tensor:
    """[T, side, side]: entry (t, i, j) is 1 where tap t of pixel i falls on pixel j, reflected at the edges."""
    at = torch.arange(side, device=taps.device) + taps[:, None]
    at = (side - 1) - ((side - 1) - at.abs()).abs()
    return F.one_hot(at, side).float()


class Jitter:
    """Brightness, contrast, saturation and hue, in this order, as torchvision's ColorJitter draws them."""

    def __init__(self, *, brightness: float, contrast: float, saturation: float, hue: float, probability: float):
        for name, value in {"brightness": brightness, "contrast": contrast, "saturation": saturation}.items():
            require(0 <= value <= 1, f"pairs.jitter.{name} must lie in [0, 1], got {value}")
        require(0 <= hue <= 0.5, f"pairs.jitter.hue must lie in [0, 0.5], got {hue}")
        require_probability(probability, "pairs.jitter.probability")
        self.strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.hue, self.probability = hue, probability

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Factors about 1 and a hue about 0, [n] each; neutral for samples that are left alone."""
        chosen = uniform(n, 0, 1, generator) < self.probability
        drawn = {k: uniform(n, 1 - s, 1 + s, generator).where(chosen, 1.0) for k, s in self.strengths.items()}
        return drawn | {"hue": uniform(n, -self.hue, self.hue, generator).where(chosen, 0.0)}

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        drawn = self.draw(len(x), generator)
        x = adjust_contrast(adjust_brightness(x, drawn["brightness"]), drawn["contrast"])
        if self.strengths["saturation"]:
            x = adjust_saturation(x, drawn["saturation"])
        return adjust_hue(x, drawn["hue"]) if self.hue else x


class Grayscale:
    """Some samples lose their colour."""

    def __init__(self, *, probability: float):
        require_probability(probability, "pairs.grayscale.probability")
        self.probability = probability

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return grayscale(x, uniform(len(x), 0, 1, generator) < self.probability)


class Blur:
    """Some samples are blurred, each with its own sigma in pixels."""

    def __init__(self, *, kernel: int, sigma: tuple[float, float], probability: float):
        require(kernel >= 3 and kernel % 2 == 1, f"pairs.blur.kernel must be odd and at least 3, got {kernel}")
        require(0 < sigma[0] <= sigma[1], f"pairs.blur.sigma must be 0 < low <= high, got {list(sigma)}")
        require_probability(probability, "pairs.blur.probability")
        self.kernel, self.sigma, self.probability = kernel, sigma, probability

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        side = min(x.shape[2:])
        require(
            self.kernel < 2 * side,
            f"pairs.blur.kernel must be below {2 * side} for images of {side} pixels, got {self.kernel}",
        )
        sigma = uniform(len(x), *self.sigma, generator)
        return gaussian_blur(x, sigma, uniform(len(x), 0, 1, generator) < self.probability, self.kernel)


class Solarize:
    """Some samples are inverted where they are bright."""

    def __init__(self, *, threshold: float, probability: float):
        require_probability(threshold, "pairs.solarize.threshold")
        require_probability(probability, "pairs.solarize.probability")
        self.threshold, self.probability = threshold, probability

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return solarize(x, uniform(len(x), 0, 1, generator) < self.probability, self.threshold)


class Noise:
    """Gaussian noise, independent in every pixel; the result stays in [0, 1]."""

    def __init__(self, *, std: float):
        require(std >= 0, f"pairs.noise.std must be at least 0, got {std}")
        self.std = std

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return (x + self.std * draw(torch.randn, *x.shape, device=x.device, generator=generator)).clamp_(0, 1)
