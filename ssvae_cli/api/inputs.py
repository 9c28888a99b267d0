"""Raw samples, as Python code has them, made into what a run's data gave in training; anything else is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ssvae_cli.api.arrays import as_tensor, finite_floats
from ssvae_cli.api.series import ended, stacked
from ssvae_cli.datasets.base import UNLABELLED, Shape, Split
from ssvae_cli.datasets.io.images import pixels_of
from ssvae_cli.datasets.measurements import Measured, Scaling, places_of
from ssvae_cli.device import dtype_name
from ssvae_cli.errors import first_line, require


@dataclass(frozen=True)
class Inputs:
    """What an encoder takes.

    shape: of one sample. is_bytes: uint8, as images are, and not numbers. any_steps: of sequences, whether one may have
    more or fewer steps. resize: images of another size are resized as the run's files were. scaling: of a table's
    columns, fitted in training.
    """

    shape: Shape
    is_bytes: bool
    any_steps: bool = False
    resize: bool = False
    scaling: Scaling | None = None

    def __str__(self) -> str:
        """'uint8 [N, 1, 8, 8], or [N, 8, 8], or PIL images'."""
        kind = "uint8" if self.is_bytes else "numbers"
        samples = [self.shape, *([self._short] if self._short else [])]
        shapes = [["N", *(["T", *one[1:]] if self.any_steps else one)] for one in samples]
        words = [f"{kind} {_listed(shape)}" if i == 0 else _listed(shape) for i, shape in enumerate(shapes)]
        if self._takes_images:
            words.append("PIL images")
        if self.scaling:
            words.append("a DataFrame with the run's columns")
        return ", or ".join(words)

    def __call__(self, x: Any) -> Split:
        """[N, *shape] on the CPU, or on the device of a tensor: uint8, or the process's floats; of series that end
        earlier, their lengths. Raises UserError."""
        x, length = self._read(x)
        return Split(x, torch.full((len(x),), UNLABELLED, device=x.device), length=length)

    def _read(self, x: Any) -> tuple[Tensor, Tensor | None]:
        """x and the lengths of `__call__`."""
        if isinstance(x, Image.Image):
            x = [x]
        if isinstance(x, (list, tuple)) and any(isinstance(image, Image.Image) for image in x):
            x = self._images(x)
        if self.scaling:
            return self._scaled(x), None
        is_series = len(self.shape) == 2
        x = self._fitting(as_tensor(stacked(x, "x", self.shape[0]) if is_series else x))
        x, length = ended(x, "x") if is_series else (x, None)
        return x if self.is_bytes else finite_floats(x), length

    @property
    def _short(self) -> Shape | None:
        """The shape of a sample without its axis of length 1: grey images, series of one number a step."""
        if self._takes_images and self.shape[0] == 1:
            return self.shape[1:]
        return self.shape[:-1] if len(self.shape) == 2 and self.shape[1] == 1 else None

    @property
    def _takes_images(self) -> bool:
        return self.is_bytes and len(self.shape) == 3 and self.shape[0] in (1, 3)

    def _images(self, images: Sequence[Any]) -> np.ndarray:
        """PIL images -> uint8 [N, C, H, W], as the run's files were read."""
        require(self._takes_images, f"x is a PIL image; this encoder takes {self}")
        channels, height, width = self.shape
        pixels = []
        for i, image in enumerate(images):
            wrong = f"x[{i}] is a {type(image).__name__}, and others are PIL images; give a list of one kind"
            require(isinstance(image, Image.Image), wrong)
            fits = self.resize or image.size == (width, height)
            sizes = f"x[{i}] is {image.width}x{image.height} pixels; this encoder takes {width}x{height}"
            require(fits, f"{sizes}, as its run resized no images; resize them first")
            try:
                pixels.append(pixels_of(image, (width, height), channels))
            except (OSError, ValueError, SyntaxError) as error:  # Pillow's, of a file that it had only opened
                reason = first_line(error)
                require(False, f"x[{i}] cannot be read as an image ({reason})")
        return np.stack(pixels)

    def _fitting(self, x: Tensor) -> Tensor:
        """x of the right type, with all its axes."""
        taken = f"this encoder takes {self}"
        require(x.numel() > 0, f"x is empty, {_listed(x.shape)}; {taken}")
        hint = "; pixels in [0, 1] are given as (x * 255).round(), in uint8" if x.is_floating_point() else ""
        require(x.dtype == torch.uint8 or not self.is_bytes, f"x is {dtype_name(x)}; {taken}{hint}")
        if self._short and self._is_one(x.shape[1:], self._short):
            x = x[:, None] if self._takes_images else x[..., None]
        shape = tuple(x.shape)
        alone = self._is_one(shape, self.shape) or bool(self._short) and self._is_one(shape, self._short)
        hint = "; one sample is given as x[None]" if alone else ""
        if x.ndim == 4 and len(self.shape) == 3 and (shape[3], *shape[1:3]) == self.shape:
            hint = "; channels come first: transpose (0, 3, 1, 2)"
        require(self._is_one(shape[1:], self.shape), f"x is {_listed(shape)}; {taken}{hint}")
        return x

    def _is_one(self, shape: Shape, wanted: Shape) -> bool:
        """Whether a sample of this shape is one of those wanted."""
        return len(shape) == len(wanted) and shape[self.any_steps :] == wanted[self.any_steps :]

    def _scaled(self, x: Any) -> Tensor:
        """The run's columns of a table, scaled as in training."""
        columns, all_count = self.scaling.columns, self.scaling.total is not None
        named = hasattr(x, "columns") and hasattr(x, "to_numpy")
        if named:
            x = x if all_count else of_columns(x, columns)
            columns, x = list(map(str, x.columns)), x.to_numpy()
        else:
            require(not all_count, "x has no names of columns: the run divides by the sum of all; give a DataFrame")
        device = x.device if isinstance(x, Tensor) else None
        tensor = as_tensor(x) if named else self._fitting(as_tensor(x))
        require(len(tensor) > 0, f"x is empty, {_listed(tensor.shape)}; this encoder takes {self}")
        values = finite_floats(tensor.double()).cpu().numpy()
        return self.scaling(Measured("x", values, columns), np.arange(len(values))).to(device)


def of_columns(frame: Any, wanted: Sequence[str]) -> Any:
    """Those columns of a DataFrame, of pandas or polars: names, labels and gaps of the others are not read. Raises
    UserError for one that is not there."""
    places_of(wanted, list(map(str, frame.columns)), "x")
    return frame[[name for name in dict.fromkeys(frame.columns) if str(name) in set(wanted)]]


def _listed(shape: Sequence[Any]) -> str:
    return f"[{', '.join(map(str, shape))}]"
