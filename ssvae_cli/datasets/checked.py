"""A data set from its configuration, held to what the rest of the program relies on, whoever wrote it."""

import reprlib
from dataclasses import replace
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from ssvae_cli.datasets.base import CONTRACT, Data, Factor, Split
from ssvae_cli.datasets.overlap import overlap
from ssvae_cli.device import dtype_name, floats
from ssvae_cli.errors import PartError
from ssvae_cli.instantiate.build import build

CODES = 2**16  # a label of this size, among fewer samples, is a code and counts no classes


def make_data(config: DictConfig, **offered: Any) -> Data:
    """The data set of a configuration, its floats in those of the process. Raises PartError for splits that are not
    tensors of one kind, [N, ...], with a label for each sample and a column for each factor, whose names differ. Its
    notes tell of samples that lie on both sides of a split (`overlap`)."""
    data = build(config, "dataset", CONTRACT, **offered)
    require_words(data)
    whole = {name: split for name, split in data.splits.items() if isinstance(split, Split)}  # not streamed
    splits = {name: checked(split, name, len(data.classes)) for name, split in whole.items()}
    require_columns(data, splits)
    require_rows(data, splits)
    kinds = {name: (*split.shape, split.dtype) for name, split in splits.items()}
    if len(set(kinds.values())) > 1:
        said = ", ".join(f"{name} {list(split.shape)} {kind(split.x)}" for name, split in splits.items())
        raise PartError(f"dataset: one x must be of the same shape and type in all splits, got {said}")
    return replace(data, **splits, notes=(*data.notes, *overlap(splits)))


def checked(split: Split, name: str, classes: int) -> Split:
    """The split with its floats in those of the process; classes: how many have a name, 0: none. Raises PartError as
    `make_data`."""
    sides = {"x": split.x} if split.x_prime is None else {"x": split.x, "x_prime": split.x_prime}
    for side, values in sides.items():
        fits = isinstance(values, Tensor) and (values.dtype == torch.uint8 or values.is_floating_point())
        require(fits, f"{side} of {name} must be a tensor of uint8 (images) or of floats, got {kind(values)}")
        require_dense(values, f"{side} of {name}")
        usable = values.ndim >= 2 and values.numel() > 0
        require(usable, f"{side} of {name} must be [N, ...], with at least one sample, got {list(values.shape)}")
        require(len(values) == len(split.x), f"{side} of {name} has {len(values)} samples, and x {len(split.x)}")
    if split.length is not None:
        length, steps = split.length, split.shape[0]
        fits = isinstance(length, Tensor) and length.dtype == torch.int64 and length.shape == split.x.shape[:1]
        fits = fits and 1 <= int(length.min()) and int(length.max()) <= steps
        require(fits, f"length of {name} must be a tensor of int64, [{len(split)}], from 1 to the {steps} steps of x")
    y = split.y
    whole = isinstance(y, Tensor) and not (y.is_floating_point() or y.is_complex()) and y.shape == split.x.shape[:1]
    found = f"{kind(y)} {list(y.shape)}" if isinstance(y, Tensor) else kind(y)
    fault = f"y of {name} must be a tensor of integers, [{len(split.x)}], -1 for a sample without a label, got {found}"
    require(whole, fault)
    require_dense(y, f"y of {name}")
    low, high = int(y.min()), int(y.max())
    require(low >= -1, f"y of {name} must be at least 0, or -1 for a sample without a label, got {low}")
    counted = high < max(len(y), CODES)
    require(counted, f"y of {name} must number the classes from 0 on, got {high}; torch.unique's inverse does")
    fault = f"y of {name} must be below {classes}, the number of classes that have a name, got {high}"
    require(high < classes or not classes, fault)
    sides = {side: values if values.dtype == torch.uint8 else floats(values) for side, values in sides.items()}
    for side, values in sides.items():
        finite = values.dtype == torch.uint8 or bool(values.isfinite().all())
        require(finite, f"{side} of {name} has values that are NaN, infinite or beyond {kind(values)}")
    return replace(split, y=y.long(), **sides)


def require_dense(values: Tensor, what: str) -> None:
    """Raise PartError for a tensor whose numbers are not all in memory, one after another."""
    layout = str(values.layout).removeprefix("torch.").removeprefix("_")
    dense = values.layout == torch.strided and not values.is_nested
    require(dense, f"{what} must be a dense tensor, as x.to_dense() gives it, got a {layout} one")
    require(not values.is_meta, f"{what} must hold numbers, and is on torch's device meta")


def require_words(data: Data) -> None:
    """Raise PartError unless the names of classes and of samples, and the notes, are tuples or lists of words."""
    for name in ("classes", "names", "notes"):
        words = getattr(data, name)
        fits = isinstance(words, (tuple, list)) and all(isinstance(word, str) for word in words)
        require(fits, f"{name} must be a tuple of words, got {reprlib.repr(words)}")


def require_rows(data: Data, splits: dict[str, Split]) -> None:
    """Raise PartError unless `row` counts the samples of the user's source, and names each where there are names."""
    for name, split in splits.items():
        row, count = split.row, len(data.names)
        fits = row is None or isinstance(row, Tensor) and row.dtype == torch.int64 and row.shape == split.x.shape[:1]
        require(fits, f"row of {name} must be a tensor of int64, [{len(split)}], or None")
        places = "the place of each of its samples in them"
        require(row is not None or count == 0, f"the data have names, and {name} has no row, {places}")
        if row is not None and count:
            fits = 0 <= int(row.min()) and int(row.max()) < count
            fault = f"row of {name} must lie in 0 to {count - 1}, as there are {count} names"
            require(fits, f"{fault}, got {int(row.min())} to {int(row.max())}")


def require_columns(data: Data, splits: dict[str, Split]) -> None:
    """Raise PartError unless every split has a column for each of the data's factors, and each has a name that can be
    printed and is not that of another or of a group, as their scores have keys by it."""
    fault = f"factors must be a tuple of Factor of ssvae_cli.datasets.base, got {data.factors!r}"
    require(all(isinstance(factor, Factor) for factor in data.factors), fault)
    for name, split in splits.items():
        values, count = split.factors, len(data.factors)
        if values is None:
            require(count == 0, f"{name} has no factors, and the data {count} names of them")
            continue
        shapes = [[len(split), count], [len(split), *split.shape[:1], count]]
        fits = isinstance(values, Tensor) and values.is_floating_point() and list(values.shape) in shapes
        found = f"{kind(values)} {list(values.shape)}"
        require(fits, f"factors of {name} must be a tensor of floats, a column for each of {count} names, got {found}")
    taken = [factor.name for factor in data.factors]
    taken += {factor.group for factor in data.factors if factor.group is not None}
    unfit = [name for name in taken if not (isinstance(name, str) and name and name.isprintable())]
    require(not unfit, f"factors, and groups of them, must have names that can be printed, got {unfit}")
    twice = sorted({name for name in taken if taken.count(name) > 1})
    require(not twice, f"factors, and groups of them, must have different names, got {twice} more than once")


def require(condition: bool, message: str) -> None:
    """Raise PartError, as of a data set, with `message` unless `condition` holds."""
    if not condition:
        raise PartError(f"dataset: {message}")


def kind(values: Any) -> str:
    """The type of a tensor's numbers, or of what is no tensor."""
    return dtype_name(values) if isinstance(values, Tensor) else type(values).__name__
