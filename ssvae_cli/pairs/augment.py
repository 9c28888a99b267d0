"""Two augmented views of each image, made on the device for the whole batch at once."""

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.errors import require
from ssvae_cli.pairs.base import Pairs
from ssvae_cli.pairs.colour import Blur, Grayscale, Jitter, Noise, Solarize
from ssvae_cli.pairs.geometry import Affine, Crop, affine, require_probability, resized_crop, uniform


class Augment(Pairs):
    """(x, x') are two views of one image, every sample with parameters of its own.

    In order: crop with flip and resizing (one resampling), affine, colour jitter, grayscale, blur, solarize, noise,
    normalisation. None switches an operation off. size: the views' side in pixels, None for the images' own.
    All randomness comes from the generator handed in.
    """

    def __init__(
        self,
        *,
        crop: Crop | None,
        flip: float,
        affine: Affine | None,
        jitter: Jitter | None,
        grayscale: Grayscale | None,
        blur: Blur | None,
        solarize: Solarize | None,
        noise: Noise | None,
        mean: float,
        std: float,
        size: int | None,
    ):
        require_probability(flip, "pairs.flip")
        require(std > 0, f"pairs.std must be above 0, got {std}")
        require(size is None or size >= 4, f"pairs.size must be at least 4 or null, got {size}")
        self.crop, self.flip, self.affine = crop, flip, affine
        operations = (jitter, grayscale, blur, solarize, noise)
        self.colour = [o for o in operations if o is not None and getattr(o, "probability", 1) > 0]
        self.mean, self.std, self.size = mean, std, size

    def attach(self, data: Data) -> None:
        require(
            len(data.shape) == 3 and data.shape[0] in (1, 3),
            f"pairs of augmented views need images of 1 or 3 channels, and these data are {list(data.shape)}; "
            "pairs=identity takes x and x' as the data bring them",
        )

    def shapes(self, data: Data) -> tuple[Shape, Shape]:
        channels, *size = data.shape
        shape = (channels, *self._size(size))
        return shape, shape

    @torch.no_grad()
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """uint8 [B, C, H, W] -> two normalised views, float32 [B, C, H', W'] each."""
        x = batch.x
        views = self._move(torch.cat([x, x]).float().div_(255), generator)
        for operation in self.colour:
            views = operation(views, generator)
        view, view_prime = ((views - self.mean) / self.std).chunk(2)
        return view, view_prime

    def clean(self, batch: Split) -> Tensor:
        """The images as they are, normalised and in the views' size."""
        x = batch.x.float().div(255)
        whole = torch.tensor([0, 0, *x.shape[2:]], device=x.device, dtype=x.dtype).expand(len(x), 4)
        if self._size(x.shape[2:]) != tuple(x.shape[2:]):
            x = resized_crop(x, whole, torch.zeros(len(x), dtype=torch.bool, device=x.device), self._size(x.shape[2:]))
        return (x - self.mean) / self.std

    def _size(self, size) -> tuple[int, int]:
        return (self.size, self.size) if self.size else tuple(size)

    def _move(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n, (height, width) = len(x), x.shape[2:]
        flip = uniform(n, 0, 1, generator) < self.flip
        resized = self._size((height, width)) != (height, width)
        if self.crop is not None or resized or (self.flip and self.affine is None):
            if self.crop is not None:
                boxes = self.crop.draw(n, height, width, generator)
            else:
                boxes = torch.tensor([0.0, 0.0, height, width], device=x.device).expand(n, 4)
            x, flip = resized_crop(x, boxes, flip, self._size((height, width))), torch.zeros_like(flip)
        if self.affine is not None:
            x = affine(x, flip, **self.affine.draw(n, generator))
        return x
