"""Two augmented views of each image, made on the device for the whole batch at once."""

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.errors import require, require_above, setting_of
from ssvae_cli.pairs.base import Pairs, other_side
from ssvae_cli.pairs.colour import Blur, Grayscale, Jitter, Noise, Solarize
from ssvae_cli.pairs.geometry import Affine, Crop
from ssvae_cli.pairs.resample import Resample, resized_crop, whole


class Augment(Pairs):
    """(x, x') are two views of one image, or one of x and one of x' where x' is given; parameters of its own for each.

    In order: crop, flip, resizing and affine (one resampling), colour jitter, grayscale, blur, solarize, noise,
    normalisation. None switches an operation off. size: the views' side in pixels, None for the images' own.
    What is random is drawn first, by the generator handed in; what follows is a function of tensors alone, which
    torch.compile takes as one graph.
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
        require_above(0, std=std)
        require(size is None or size >= 4, f"size must be at least 4 or null, got {size}")
        self.resample = Resample(crop=crop, flip=flip, affine=affine, size=size)
        operations = {"jitter": jitter, "grayscale": grayscale, "blur": blur, "solarize": solarize, "noise": noise}
        self.named = {k: o for k, o in operations.items() if o is not None and getattr(o, "probability", 1) > 0}
        self.colour = list(self.named.values())
        self.mean, self.std = mean, std

    def attach(self, data: Data) -> None:
        for shape in self._sides(data):
            require(
                len(shape) == 3 and shape[0] in (1, 3),
                f"pairs of augmented views need images of 1 or 3 channels, and these data are {list(shape)}; "
                "pairs=noise serves any shape",
            )
            for name, operation in self.named.items():  # what an operation refuses, it refuses here
                with setting_of(name, vars(operation)):
                    operation.draw((1, shape[0], *self.resample.out(shape[1:])), torch.Generator())

    def shapes(self, data: Data) -> tuple[Shape, Shape]:
        return tuple((shape[0], *self.resample.out(shape[1:])) for shape in self._sides(data))

    def compile(self) -> None:
        self.apply = torch.compile(self.apply)

    @torch.no_grad()
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """uint8 [B, C, H, W] -> two normalised views, float32 [B, C, H', W'] each."""
        return tuple(self.apply(x, *self.draw(x.shape, generator)) for x in (batch.x, other_side(batch)))

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> tuple[tuple[Tensor, ...], ...]:
        """The parameters of one view of each of [B, C, H, W] images: the resampling's, then each operation's."""
        n, channels, *size = shape
        out = (n, channels, *self.resample.out(size))
        return self.resample.draw(n, size, generator), *(o.draw(out, generator) for o in self.colour)

    def apply(self, x: Tensor, moves: tuple[Tensor, ...], *parameters: tuple[Tensor, ...]) -> Tensor:
        """One normalised view of every image."""
        x = self.resample(x.float().div_(255), *moves)
        for operation, drawn in zip(self.colour, parameters):
            x = operation(x, *drawn)
        return (x - self.mean).div_(self.std)

    def clean(self, batch: Split) -> Tensor:
        """The images as they are, normalised and in the views' size."""
        x = batch.x.flatten(0, -4).float().div_(255)
        size = self.resample.out(x.shape[2:])
        if size != tuple(x.shape[2:]):
            unflipped = torch.zeros(x.shape[0], dtype=torch.bool, device=x.device)
            x = resized_crop(x, whole(x.shape[0], x.shape[2:], x.device), unflipped, size)
        return ((x - self.mean) / self.std).unflatten(0, batch.x.shape[:-3])

    @staticmethod
    def _sides(data: Data) -> tuple[Shape, Shape]:
        return data.shape, data.shape if data.shape_prime is None else data.shape_prime
