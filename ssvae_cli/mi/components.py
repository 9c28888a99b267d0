"""Which coordinates depend on which: groups of coordinates that show no dependence on each other."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.evaluation.samples import Pairs

LEVEL = 0.01  # probability that independent coordinates show any link


class Component(NamedTuple):
    """Columns of x and of y that are linked, directly or through others."""

    x: list[int]
    y: list[int]

    def of(self, pairs: Pairs) -> Pairs:
        """These columns of the pairs."""
        return Pairs(pairs.x[:, self.x], pairs.y[:, self.y])


def strength(z: Tensor) -> Tensor:
    """The largest correlation of z_i or |z_i| with z_j or |z_j|, times root N, [d, d], of normal scores [N, d].

    |z| shows dependence of a scale or of a square, which has no correlation."""
    count, width = z.shape
    features = torch.cat([z, z.abs()], 1)
    features = (features - features.mean(0)) / features.std(0)
    return (features.T @ features / count**0.5).abs().view(2, width, 2, width).amax((0, 2))


def links(z: Tensor) -> np.ndarray:
    """Whether coordinates, [N, d], depend on each other, [d, d]: a test for each, at a level of 1% for all together."""
    from scipy.stats import norm

    width = z.shape[1]
    return strength(z).numpy() > norm.isf(LEVEL / (4 * max(1, width * (width - 1))))


def components(pairs: Pairs) -> list[Component]:
    """The groups that hold coordinates of both x and y. If nothing links the groups, I is the sum over them.

    Coordinates of the other groups carry nothing. A dependence that no pair of coordinates shows is missed, as that of
    a parity: what is read so is compared with what is read from all coordinates.
    """
    width = pairs.x.shape[1]
    from scipy.sparse.csgraph import connected_components

    number, group = connected_components(links(torch.cat(pairs, 1)), directed=False)
    found = [np.flatnonzero(group == i).tolist() for i in range(number)]
    sides = [Component([c for c in g if c < width], [c - width for c in g if c >= width]) for g in found]
    return [one for one in sides if one.x and one.y]
