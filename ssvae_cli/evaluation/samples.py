"""Samples of a pair of variables, to which critics and densities are fitted."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssvae_cli.device import floats


class Pairs(NamedTuple):
    """x: [N, dx], y: [N, dy]; row i of x belongs to row i of y."""

    x: Tensor
    y: Tensor

    def rows(self, which) -> "Pairs":
        return Pairs(self.x[which], self.y[which])


class Parts(NamedTuple):
    """Pairs for fitting, for choosing the training step, and for the estimate."""

    train: Pairs
    validation: Pairs
    test: Pairs


def normal_scores(values: np.ndarray, train: np.ndarray) -> Tensor:
    """Every column mapped to N(0, 1) by its empirical distribution function on the rows `train`.

    A strictly increasing map of one coordinate leaves I unchanged, and removes cubes and heavy tails. The map is linear
    between the training values and constant beyond them; equal values share one score.
    """
    from scipy.special import ndtri  # slow to import

    columns, other = [], np.ones(len(values), bool)
    other[train] = False
    for column in values.T:
        distinct, places, counts = np.unique(column[train], return_inverse=True, return_counts=True)
        scores = ndtri((np.cumsum(counts) - 0.5 * counts) / len(train))  # of the middle rank among equal values
        mapped = np.empty(len(column))
        mapped[train], mapped[other] = scores[places], np.interp(column[other], distinct, scores)
        columns.append(mapped)
    return floats(torch.from_numpy(np.stack(columns, 1)))


def normalised(parts: Parts) -> Parts:
    """The parts with every coordinate as normal scores, by the distribution on train; on the same device."""
    sizes = [len(pairs.x) for pairs in parts]

    def scores(side: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        rows = normal_scores(torch.cat(side).double().cpu().numpy(), np.arange(sizes[0]))
        return rows.to(side[0].device).split(sizes)

    return Parts(*map(Pairs, *map(scores, zip(*parts))))
