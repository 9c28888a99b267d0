"""A fixed, evenly spaced subset of rows, for metrics too expensive on all of them."""

from dataclasses import replace

import torch
from torch import Tensor

from ssvae_cli.datasets.base import Data, evenly_spaced


def drawn(count: int, at_most: int, device=None) -> Tensor:
    """The rows of `evenly_spaced` in a fixed random order, for an error by parts of consecutive rows.

    Else, in a folder sorted by class, a part would be a class."""
    rows = evenly_spaced(count, at_most, device)
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).to(rows.device)]


def fewer(data: Data, at_most: int) -> Data:
    """The same data with at most so many samples in each split, evenly spaced."""
    large = {name: split for name, split in data.splits.items() if len(split) > at_most}
    return replace(data, **{name: split.rows(evenly_spaced(len(split), at_most)) for name, split in large.items()})


def labelled_share(labels: Tensor, share: float, seed: int) -> Tensor:
    """The rows, in order, of a random share of each class of labels, int64 [N], at least one of each; below 0 is
    unlabelled."""
    generator, chosen = torch.Generator().manual_seed(seed), []
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().squeeze(1)
        if label >= 0:
            count = max(1, round(share * len(rows)))
            chosen.append(rows[torch.randperm(len(rows), generator=generator)[:count].to(rows.device)])
    return torch.cat(chosen).sort().values
