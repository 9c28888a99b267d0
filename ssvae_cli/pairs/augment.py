"""Two augmented views of each image, made for the whole batch at once."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ssvae_cli.errors import require


class Augment:
    """Random affine, brightness, contrast and noise, with parameters of their own for every sample."""

    def __init__(
        self, *, degrees: float, translate: float, scale: tuple[float, float], shear: float,
        brightness: float, contrast: float, noise: float, mean: float, std: float,
    ):
        require(0 < scale[0] <= scale[1], f"pairs.scale must be 0 < low <= high, got {list(scale)}")
        require(std > 0, f"pairs.std must be above 0, got {std}")
        require(noise >= 0, f"pairs.noise must be at least 0, got {noise}")
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear
        self.brightness, self.contrast, self.noise, self.mean, self.std = brightness, contrast, noise, mean, std

    def __call__(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """uint8 [B, C, H, W] -> two normalised views, float32 [B, C, H, W]."""
        return tuple(self.view(torch.cat([x, x]), generator).chunk(2))

    def view(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """One view of each image."""
        n, device = len(x), x.device

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(n, device=device, generator=generator)

        angle = uniform(-self.degrees, self.degrees) * math.pi / 180
        shear = torch.tan(uniform(-self.shear, self.shear) * math.pi / 180)
        zoom = 1 / uniform(*self.scale)
        shift = [uniform(-2 * self.translate, 2 * self.translate) for _ in range(2)]
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        theta = torch.stack([cos, -sin + shear * cos, shift[0], sin, cos + shear * sin, shift[1]], 1).view(n, 2, 3)
        x = x.float() / 255
        x = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)
        factor = uniform(1 - self.brightness, 1 + self.brightness).view(-1, 1, 1, 1)
        x = x * factor
        level = x.mean((1, 2, 3), keepdim=True)
        x = level + uniform(1 - self.contrast, 1 + self.contrast).view(-1, 1, 1, 1) * (x - level)
        x = (x + self.noise * torch.randn(x.shape, device=device, generator=generator)).clamp_(0, 1)
        return (x - self.mean) / self.std

    def clean(self, x: Tensor) -> Tensor:
        """The images as they are, normalised."""
        return (x.float() / 255 - self.mean) / self.std

    def to_unit(self, x: Tensor) -> Tensor:
        """Back to [0, 1], for pictures."""
        return x * self.std + self.mean
