"""Augmented views of each image, computed on the device for the whole batch at once."""

import copy

import torch
from torch import Tensor

from ssvae_cli.compiler import compiled
from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.device import dtype_name, floats
from ssvae_cli.errors import require, require_above, require_at_least, setting_of
from ssvae_cli.pairs.base import Pairs, kinds_of_sides, require_views, shapes_of_sides, sides
from ssvae_cli.pairs.colour import Blur, Grayscale, Jitter, Noise, Solarize
from ssvae_cli.pairs.geometry import Affine, Crop
from ssvae_cli.pairs.resample import Resample, resized_crop, whole


class Augment(Pairs):
    """(x, x') are two views of one image, or one of x and one of x' if the data have x', with independent parameters.
    views: how many of one image, two or more.

    In order: crop, flip, resizing and affine (one resampling), colour jitter, grayscale, blur, solarize, noise,
    normalisation. None switches an operation off. size: the views' side in pixels, None for the images' own. All random
    numbers are drawn first, by the generator passed in; the rest is a function of tensors, one graph for torch.compile.
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
        views: int = 2,
    ):
        require_above(0, std=std)
        require_at_least(2, views=views)
        self.views = views
        require(size is None or size >= 4, f"size must be at least 4 or null, got {size}")
        self.resample = Resample(crop=crop, flip=flip, affine=affine, size=size)
        operations = {"jitter": jitter, "grayscale": grayscale, "blur": blur, "solarize": solarize, "noise": noise}
        self.colour = {k: o for k, o in operations.items() if o is not None and getattr(o, "probability", 1) > 0}
        self.mean, self.std = mean, std

    def attach(self, data: Data) -> None:
        require_views(self.views, data)
        for shape in shapes_of_sides(data, self.views):
            fault = f"these data are {list(shape)}; pairs=noise takes any shape"
            fits = len(shape) == 3 and shape[0] in (1, 3)
            require(fits, f"pairs of augmented views need images of 1 or 3 channels, and {fault}")
        for kind in kinds_of_sides(data):
            fault = f"these data are {dtype_name(kind)}; pairs=noise takes floats"
            require(kind == torch.uint8, f"pairs of augmented views need images in uint8, 0 to 255, and {fault}")
        for shape in shapes_of_sides(data, self.views):
            for name, operation in self.colour.items():  # images that an operation refuses are refused here
                with setting_of(name, vars(operation)):
                    operation.draw((1, shape[0], *self.resample.out(shape[1:])), torch.Generator())

    def shapes(self, data: Data) -> tuple[Shape, ...]:
        shapes = shapes_of_sides(data, self.views)
        return tuple((shape[0], *self.resample.out(shape[1:])) for shape in shapes)

    def compiled(self) -> Pairs:
        augment = copy.copy(self)
        augment.apply = compiled(self.apply, True)
        return augment

    @torch.no_grad()
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, ...]:
        """uint8 [B, C, H, W] -> normalised views, [B, C, H', W'] each."""
        return tuple(self.apply(x, *self.draw(x.shape, generator)) for x in sides(batch, self.views))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[tuple[Tensor, ...], ...]:
        """The random parameters of one view of each image, [B, C, H, W]: of the resampling, then of each operation."""
        n, channels, *size = shape
        out = (n, channels, *self.resample.out(size))
        return self.resample.draw(n, size, generator), *(o.draw(out, generator) for o in self.colour.values())

    def apply(self, x: Tensor, moves: tuple[Tensor, ...], *parameters: tuple[Tensor, ...]) -> Tensor:
        """One normalised view of every image."""
        x = self.resample(floats(x).div_(255), *moves)
        for operation, values in zip(self.colour.values(), parameters):
            x = operation(x, *values)
        return (x - self.mean).div_(self.std)

    def clean(self, batch: Split) -> Tensor:
        """The images without augmentation, normalised and in the views' size."""
        x = floats(batch.x.flatten(0, -4)).div_(255)
        size = self.resample.out(x.shape[2:])
        if size != tuple(x.shape[2:]):
            unflipped = torch.zeros(x.shape[0], dtype=torch.bool, device=x.device)
            x = resized_crop(x, whole(x.shape[0], x.shape[2:], x.device), unflipped, size)
        return ((x - self.mean) / self.std).unflatten(0, batch.x.shape[:-3])
