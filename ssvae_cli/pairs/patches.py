"""Two patches of one image, on a grid (the image setting of CPC, van den Oord et al. 2018)."""

from dataclasses import replace

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, Split, require_images
from ssvae_cli.errors import require
from ssvae_cli.pairs.base import Pairs, other_side
from ssvae_cli.pairs.chain import Chain
from ssvae_cli.pairs.geometry import uniform


class Patches(Chain):
    """x and x' are two different patches of a grid that is spread over the image, drawn afresh each time.

    grid: patches a side. overlap: the share of a patch's side that it has in common with the next; 0 lays them side by
    side, and CPC's 64 pixels of 256 are grid=7, overlap=0.5. Probes read the mean over the grid of g's features.
    """

    def __init__(self, *, grid: int, overlap: float, then: Pairs):
        super().__init__(then=then)
        require(grid >= 2, f"grid must be at least 2 patches a side, got {grid}")
        require(0 <= overlap < 1, f"overlap must lie in [0, 1), got {overlap}")
        self.grid, self.overlap = grid, overlap

    def check(self, data: Data) -> None:
        require_images(data.shape, "pairs=patches", "pairs=context is for sequences, pairs=noise for any shape")
        small, most = min(data.shape[1:]), 1 + (min(data.shape[1:]) - 1) / (1 - self.overlap)
        require(
            self._side(small) >= 1,
            f"grid={self.grid}: the grid is larger than the images, {'x'.join(map(str, data.shape[1:]))}; "
            f"at overlap {self.overlap:g} at most {int(most)} patches fit a side",
        )

    def make(self, batch: Split, generator: torch.Generator) -> Split:
        cells = self.grid**2
        cell = uniform(len(batch), 0, cells, generator).long().clamp(max=cells - 1)
        step = uniform(len(batch), 1, cells, generator).long().clamp(max=cells - 1)  # to another one
        return replace(batch, x=self._cut(batch.x, cell), x_prime=self._cut(other_side(batch), (cell + step) % cells))

    def still(self, batch: Split) -> Split:
        """x: [B, patches, C, h, w]."""
        each = [self._cut(batch.x, torch.full((len(batch),), c, device=batch.x.device)) for c in range(self.grid**2)]
        return replace(batch, x=torch.stack(each, 1))

    def _side(self, length: int) -> int:
        """Of a patch, where `length` is the image's."""
        return int(length / (1 + (self.grid - 1) * (1 - self.overlap)) + 1e-6)

    def _cut(self, x: Tensor, cell: Tensor) -> Tensor:
        """The patch of every image, [B, C, H, W] and cells [B] -> [B, C, h, w]."""
        rows, columns = (
            self._start(length, index, x.device)[:, None] + torch.arange(self._side(length), device=x.device)
            for length, index in zip(x.shape[2:], (cell // self.grid, cell % self.grid))
        )
        sample = torch.arange(len(x), device=x.device)[:, None, None]
        return x[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()

    def _start(self, length: int, index: Tensor, device: torch.device) -> Tensor:
        """First pixels of the patches, the last flush with the image's end."""
        room = length - self._side(length)
        return torch.linspace(0, room, self.grid, device=device).round().long()[index]
