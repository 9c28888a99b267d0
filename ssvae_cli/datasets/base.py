"""What a data set is to the rest of the program: three fixed splits, and what is known about them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require
from ssvae_cli.instantiate.build import Contract

Shape = tuple[int, ...]  # of one sample: (C, H, W), (D,), (T, ...)
CONTRACT = Contract(
    ("train", "validation", "test"),
    "a data set is a function or class that gives Data(train, validation, test) of ssvae_cli.datasets, each a Split",
)


@dataclass(frozen=True)
class Split:
    """N samples on one device; also what a batch is.

    x: uint8 [N, C, H, W] for images, [N, T, C, H, W] for videos; float32 [N, D] for vectors, [N, T, ...] for
    sequences. y: int64 [N], -1 where a sample has no label. x_prime: the partner that the data bring along, [N, ...],
    of a shape of its own perhaps. factors: what is known to lie behind x, float32 [N, F], or [N, T, F] for sequences,
    in the columns of `Data.factors`. y and factors are for evaluation and for pairs that say they are an oracle.
    row: int64 [N], where each sample stands in its array of the user's file.
    of: the split that these are rows of, None where they are a split of their own.
    """

    x: Tensor
    y: Tensor
    x_prime: Tensor | None = None
    factors: Tensor | None = None
    row: Tensor | None = None
    of: "Split | None" = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> Shape:
        """Of one x."""
        return tuple(self.x.shape[1:])

    @property
    def shape_prime(self) -> Shape | None:
        """Of one x', where the data bring x' along."""
        return None if self.x_prime is None else tuple(self.x_prime.shape[1:])

    def rows(self, rows: Tensor | slice) -> "Split":
        """Those samples, in that order."""
        return replace(self._each(lambda tensor: tensor[rows]), of=self.of or self)

    def to(self, device: torch.device) -> "Split":
        """The same samples on a device, as a split of their own."""
        return replace(self._each(lambda tensor: tensor.to(device)), of=None)

    def batches(self, size: int, order: Tensor | None = None) -> Iterator["Split"]:
        """`size` samples at a time, the last perhaps fewer, on the split's device; order: rows [M], None for all."""
        if order is None:
            yield from (self.rows(slice(i, i + size)) for i in range(0, len(self), size))
        else:
            yield from (self.rows(rows) for rows in order.to(self.x.device).split(size))

    def _each(self, function) -> "Split":
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: function(tensor) for name, tensor in held.items() if isinstance(tensor, Tensor)})


class Factor(NamedTuple):
    """A column of `Split.factors`: a number, or one of `classes` categories 0, 1, ..."""

    name: str
    classes: int | None = None


@dataclass(frozen=True)
class Data:
    """Train, validation and test, the same whatever the run's seed.

    classes: the labels as words. factors: the columns of every split's factors. conditional: the data's own
    P(x'|x), a module (batch: Split, generator) -> x' [B, ...]. mi: I(x; x') in nats under it, where that is known.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...] = ()
    factors: tuple[Factor, ...] = ()
    conditional: nn.Module | None = None
    mi: float | None = None

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def shape(self) -> Shape:
        """Of one x in the data, before `pairs`."""
        return self.train.shape

    @property
    def shape_prime(self) -> Shape | None:
        """Of one x' in the data, where they bring x' along."""
        return self.train.shape_prime

    def to(self, device: torch.device) -> "Data":
        """The same data, with batches on a device."""
        moved = {name: split.to(device) for name, split in self.splits.items()}
        return replace(self, **moved, conditional=self.conditional and self.conditional.to(device))


def require_images(shape: Shape, choice: str, instead: str = "encoder=mlp takes any shape") -> None:
    """Raise UserError where one x is no image (C, H, W)."""
    require(
        len(shape) == 3,
        f"{choice} is for images [C, H, W], and one x is {list(shape)} here; {instead}",
    )


def hold_out(split: Split, count: int) -> tuple[Split, Split]:
    """(the rest, `count` images for validation). Raises UserError where that leaves nothing to train on."""
    kept, held = hold_out_rows(len(split), count)
    return split.rows(kept), split.rows(held)


def hold_out_rows(total: int, count: int) -> tuple[Tensor, Tensor]:
    """(rows for training, `count` rows for validation) of `total` training images."""
    require(total >= 2, f"training needs at least 2 images, one of them for validation, got {total}")
    require(
        1 <= count < total,
        f"validation must lie between 1 and {total - 1}, one less than the training images, got {count}",
    )
    held, kept = draw(total, count)
    return kept, held


def limited(train: Split, limit: int | None) -> Split:
    """`limit` of the training images, or all of them where it is null."""
    return train if limit is None else train.rows(limit_rows(len(train), limit))


def limit_rows(total: int, limit: int | None) -> Tensor:
    """`limit` of `total` rows; the draw for a smaller limit is part of the draw for a larger one."""
    require(
        limit is None or 1 <= limit <= total,
        f"limit must lie between 1 and {total}, the images there are to train on, or be null; got {limit}",
    )
    return draw(total, total if limit is None else limit)[0]


def draw(total: int, count: int) -> tuple[Tensor, Tensor]:
    """(`count` of `total` rows, the others), each in order; drawn once and for all, so no run's seed moves them."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(0))
    return order[:count].sort().values, order[count:].sort().values
