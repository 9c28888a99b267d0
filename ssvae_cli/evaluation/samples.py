"""Samples of a pair of variables, as critics and densities are fitted to them."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor


class Pairs(NamedTuple):
    """x: [N, dx], y: [N, dy], float32; row i of x belongs to row i of y."""

    x: Tensor
    y: Tensor

    def rows(self, which) -> "Pairs":
        return Pairs(self.x[which], self.y[which])


class Parts(NamedTuple):
    """Pairs to fit to, to choose the training step on, and to read the estimate from."""

    train: Pairs
    validation: Pairs
    test: Pairs


def normal_scores(values: np.ndarray, train: np.ndarray) -> Tensor:
    """Every column through its own distribution function, as the rows `train` show it, to N(0, 1); float32.

    A strictly increasing map of one coordinate leaves I unchanged, so that cubes or heavy tails cost nothing. Between
    the training values it is linear, beyond them constant; equal values share one score.
    """
    columns = []
    for column, known in zip(values.T, values[train].T):
        places, counts = np.unique(known, return_counts=True)
        ranks = np.cumsum(counts) - 0.5 * counts  # mid-ranks
        columns.append(np.interp(column, places, ndtri(ranks / len(known))))
    return torch.from_numpy(np.stack(columns, 1)).float()


def normalised(parts: Parts) -> Parts:
    """The parts with every coordinate as normal scores, by train's distribution; on the device they came from."""

    def scores(side: Tensor, known: Tensor) -> Tensor:
        both = torch.cat([known, side]).double().cpu().numpy()
        return normal_scores(both, np.arange(len(known)))[len(known) :].to(side.device)

    return Parts(*(Pairs(scores(p.x, parts.train.x), scores(p.y, parts.train.y)) for p in parts))
