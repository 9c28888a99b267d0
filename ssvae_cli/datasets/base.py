"""What a data set is to the rest of the program: three fixed splits, and what is known about them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.order import Order
from ssvae_cli.errors import require
from ssvae_cli.instantiate.build import Contract

Shape = tuple[int, ...]  # of one sample: (C, H, W), (D,), (T, ...)
UNLABELLED = -1
CONTRACT = Contract(
    ("train", "validation", "test"),
    "a data set is a function or class that gives Data(train, validation, test) of ssvae_cli.datasets, each a Split",
)


@dataclass(frozen=True)
class Split:
    """N samples on one device; a batch is one too. y and factors are for evaluation and for pairs=supervised.

    x: uint8 [N, C, H, W] for images, [N, T, C, H, W] for videos; floats [N, D] for vectors, [N, T, ...] for sequences.
    """

    x: Tensor
    y: Tensor  # int64 [N], -1 for a sample without a label
    x_prime: Tensor | None = None  # the data's own x', [N, ...], perhaps of another shape
    factors: Tensor | None = None  # known factors of x, floats [N, F] or [N, T, F], columns as in `Data.factors`
    shared: Tensor | None = None  # what x' depends on besides the factors of x, [N, ...]
    row: Tensor | None = None  # int64 [N], the sample's row in the user's file, or its place in `Data.names`
    length: Tensor | None = None  # int64 [N], of sequences: the steps before the padding; None: all have T
    further: tuple[Tensor, ...] = ()  # views after x', in a batch from a pair generator of more than two
    of: "Split | None" = field(default=None, repr=False, compare=False)  # rows of this split; None: a whole split

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> Shape:
        """Of one x."""
        return tuple(self.x.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """Of x."""
        return self.x.dtype

    @property
    def shape_prime(self) -> Shape | None:
        """Of one x', None if the data have none."""
        return None if self.x_prime is None else tuple(self.x_prime.shape[1:])

    def rows(self, rows: Tensor | slice) -> "Split":
        """Those samples, in that order."""
        return self._map(lambda tensor: tensor[rows], of=self.of or self)

    def to(self, device: torch.device) -> "Split":
        """The same samples on a device, as a whole split."""
        return self._map(lambda tensor: tensor.to(device), of=None)

    @property
    def lengths(self) -> Tensor:
        """The steps of each sequence, int64 [N]."""
        steps = self.x.new_full(self.x.shape[:1], self.x.shape[1], dtype=torch.int64)
        return steps if self.length is None else self.length

    def batches(self, size: int, order: Tensor | None = None) -> Iterator["Split"]:
        """`size` samples at a time, the last perhaps fewer, on the split's device; order: rows [M], None for all."""
        slices = (slice(i, i + size) for i in range(0, len(self), size))
        yield from map(self.rows, slices) if order is None else self.batches_of(order.split(size))

    def batches_of(self, batches: Sequence[Tensor]) -> Iterator["Split"]:
        """The samples of each batch, of whose rows one batch after another is asked for."""
        yield from (self.rows(rows.to(self.x.device)) for rows in batches)

    def _map(self, function: Callable[[Tensor], Tensor], of: "Split | None") -> "Split":
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, of=of, **{name: function(tensor) for name, tensor in tensors.items()})


class Factor(NamedTuple):
    """A column of `Split.factors`: a number, or one of `classes` categories 0, 1, ...

    group: the factors that are scored together, such as content and style; None: in no group."""

    name: str
    classes: int | None = None
    group: str | None = None


@dataclass(frozen=True)
class Data:
    """Train, validation and test, the same for every seed of the run."""

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...] = ()  # the names of the labels
    factors: tuple[Factor, ...] = ()  # the columns of every split's factors
    conditional: nn.Module | None = None  # the data's own P(x'|x): (batch: Split, generator) -> x' [B, ...]
    mi: float | None = None  # I(x; x') in nats under `conditional`, if known; of sequences, of a step and the next
    markov: bool = True  # of sequences: the next step depends on the past through the last one alone
    truth: dict[str, Any] = field(default_factory=dict)  # parameters of the law, named as in its prior
    zero: Tensor | None = None  # what a measurement of 0 is in x, [D]; None: 0
    names: Sequence[str] = ()  # of all samples in the user's source, which `Split.row` counts: files, cells, ids
    fitted: dict[str, Any] = field(default_factory=dict)  # what was fitted to train; other data are read by the same
    notes: tuple[str, ...] = ()  # what was decided on the user's files, or is known of the data, in words for the log

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def shape(self) -> Shape:
        """Of one x in the data, before `pairs`."""
        return self.train.shape

    @property
    def shape_prime(self) -> Shape | None:
        """Of one x' in the data, None if they have none."""
        return self.train.shape_prime

    def to(self, device: torch.device) -> "Data":
        """The same data, with batches on a device."""
        splits = {name: split.to(device) for name, split in self.splits.items()}
        conditional, zero = (part if part is None else part.to(device) for part in (self.conditional, self.zero))
        return replace(self, **splits, conditional=conditional, zero=zero)

    def listing(self) -> dict[str, list[str]]:
        """The names of the samples in each split; {} where they have none."""
        if not self.names:
            return {}
        return {name: [self.names[i] for i in split.row.tolist()] for name, split in self.splits.items()}

    def sample(self) -> dict[str, Any]:
        """What one x is, before `pairs`: its shape, and whether it is bytes (of images) or floats."""
        return {"shape": list(self.shape), "bytes": self.train.dtype == torch.uint8}


def class_name(label: int, classes: Sequence[str]) -> str:
    """That of a label's class; the label itself where its class has no name, and `no label` for -1."""
    if label < 0:
        return "no label"
    return classes[label] if label < len(classes) else str(label)


def require_images(shape: Shape, choice: str, instead: str = "encoder=mlp takes any shape") -> None:
    """Raise UserError unless one x is an image (C, H, W)."""
    require(len(shape) == 3, f"{choice} is for images [C, H, W], and one x is {list(shape)} here; {instead}")


def limited(train: Split, limit: int | None) -> Split:
    """`limit` of the training samples; None: all."""
    return train if limit is None else train.rows(limit_rows(len(train), limit))


def limit_rows(total: int, limit: int | None) -> Tensor:
    """`limit` of `total` rows, None: all; the rows of a smaller limit are among those of a larger one."""
    valid = limit is None or 1 <= limit <= total
    require(valid, f"limit must lie between 1 and {total}, the number of training samples, or be null; got {limit}")
    return draw(total, total if limit is None else limit)[0]


def draw(total: int, count: int) -> tuple[Tensor, Tensor]:
    """(`count` of `total` rows, the others), each in order; the random draw is fixed, whatever the run's seed."""
    chosen = Order(total, torch.Generator().manual_seed(0)).rows(0, count).sort().values
    others = torch.ones(total, dtype=torch.bool).index_fill_(0, chosen, False)
    return chosen, others.nonzero().squeeze(1)


def evenly_spaced(count: int, at_most: int, device=None) -> Tensor:
    """At most `at_most` of the rows 0 to count - 1, evenly spaced, first and last included: [min(count, at_most)]."""
    return torch.linspace(0, count - 1, min(count, at_most), dtype=torch.float64, device=device).round().long()
