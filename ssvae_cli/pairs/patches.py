"""Patches of one image, on a grid (the image setting of CPC, van den Oord et al. 2018)."""

from dataclasses import replace

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split, require_images
from ssvae_cli.errors import require, require_at_least, require_below_one
from ssvae_cli.pairs.base import Pairs, other_side, require_views, shapes_of_sides
from ssvae_cli.pairs.chain import Chain
from ssvae_cli.pairs.geometry import uniform


class Patches(Chain):
    """The views are different random patches of a grid that covers the image, drawn anew each time.

    grid: patches per side. overlap: the share of a patch's side that it has in common with the next; 0: side by side;
    CPC's 64 of 256 pixels are grid=7, overlap=0.5. views: how many, from 2 to all of the grid. Probes read the mean of
    g's features over the grid.
    """

    def __init__(self, *, grid: int, overlap: float, then: Pairs, views: int = 2):
        super().__init__(then=then)
        require_at_least(2, grid=grid)
        cells = f"the {grid**2} patches of grid={grid}"
        require(2 <= views <= grid**2, f"views must lie between 2 and {grid**2}, {cells}, got {views}")
        self.views = views
        require_below_one(overlap=overlap)
        self.grid, self.overlap = grid, overlap

    def check(self, data: Data) -> None:
        require_views(self.views, data)
        for shape in shapes_of_sides(data, 2):
            require_images(shape, "pairs=patches", "pairs=context is for sequences, pairs=noise for any shape")
            height, width = shape[1:]
            shorter = min(height, width)
            most = max((grid for grid in range(2, shorter + 1) if self._fits(shorter, grid)), default=0)
            limit = f"at overlap {self.overlap:g} at most {most} patches fit a side of {height}x{width} pixels"
            fits = self._fits(shorter, self.grid)
            require(fits, f"grid={self.grid}: the grid is too fine for the images; {limit} without being the same")

    def places(self, data: Data) -> int:
        return self.grid**2

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        cells = self.grid**2
        cell = uniform(len(batch), 0, cells, generator).long().clamp(max=cells - 1)
        if self.views == 2:
            step = uniform(len(batch), 1, cells, generator).long().clamp(max=cells - 1)  # to a different cell
            steps = [step]
        else:  # a random order of all others, of which the first are taken
            order = uniform(len(batch), 0, 1, generator, cells - 1).argsort(1) + 1
            steps = order[:, : self.views - 1].unbind(1)
        x_prime, *further = (self._cut(other_side(batch), (cell + step) % cells) for step in steps)
        return replace(batch, x=self._cut(batch.x, cell), x_prime=x_prime, further=tuple(further))

    def still(self, batch: Split) -> Split:
        """x: [B, patches, C, h, w]."""
        cells = torch.arange(self.grid**2, device=batch.x.device)[:, None].expand(-1, batch.x.shape[0])
        return replace(batch, x=torch.stack([self._cut(batch.x, cell) for cell in cells], 1))

    def _fits(self, length: int, grid: int) -> bool:
        """Whether so many patches along a side of the image have at least a pixel, and each begins at another one."""
        side = self._side(length, grid)
        return side >= 1 and length - side >= grid - 1

    def _side(self, length: int, grid: int) -> int:
        """Of a patch, in pixels, if `length` is the image's."""
        return int(length / (1 + (grid - 1) * (1 - self.overlap)) + 1e-6)

    def _cut(self, x: Tensor, cell: Tensor) -> Tensor:
        """One patch per image, [B, C, H, W] and cells [B] -> [B, C, h, w]."""
        pixels = []
        for length, index in zip(x.shape[2:], (cell // self.grid, cell % self.grid)):
            side = self._side(length, self.grid)
            starts = torch.linspace(0, length - side, self.grid, device=x.device).round().long()  # the last ends with x
            pixels.append(starts[index][:, None] + torch.arange(side, device=x.device))
        rows, columns = pixels
        sample = torch.arange(x.shape[0], device=x.device)[:, None, None]
        return x[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
