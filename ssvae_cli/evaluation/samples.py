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

    columns = []
    for column in values.T:
        distinct, counts = np.unique(column[train], return_counts=True)
        mid_ranks = np.cumsum(counts) - 0.5 * counts
        columns.append(np.interp(column, distinct, ndtri(mid_ranks / len(train))))
    return floats(torch.from_numpy(np.stack(columns, 1)))


def normalised(parts: Parts) -> Parts:
    """The parts with every coordinate as normal scores, by the distribution on train; on the same device."""

    def scores(side: Tensor, train: Tensor) -> Tensor:
        both = torch.cat([train, side]).double().cpu().numpy()
        return normal_scores(both, np.arange(len(train)))[len(train) :].to(side.device)

    return Parts(*(Pairs(scores(p.x, parts.train.x), scores(p.y, parts.train.y)) for p in parts))
