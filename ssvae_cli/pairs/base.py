"""What a pair generator is to the rest of the program."""

import logging
from abc import ABC, abstractmethod

import torch
from omegaconf import DictConfig
from torch import Tensor

from ssvae_cli.datasets.base import Data, Shape, Split
from ssvae_cli.device import dtype_name, floats
from ssvae_cli.errors import PartError, counted, require, require_at_least, setting_of
from ssvae_cli.instantiate.build import Contract, build
from ssvae_cli.instantiate.read_only import read_only

log = logging.getLogger(__name__)

CONTRACT = Contract(
    ("attach", "shapes", "clean", "to_unit", "times", "within_length", "places"),
    "a pair generator derives from Pairs of ssvae_cli.pairs, and gives (x, x') when called with (batch, generator)",
)


class Pairs(ABC):
    """Computes (x, x'), or n views, from a batch, on the batch's device, for all its samples at once.

    The encoder g sees x in the first of `shapes`, and g' sees x' and all further views in the second; if they differ,
    g' cannot share g's weights. All randomness comes from the generator passed in, which is on the same device. mean,
    std: they normalise images; float data stay unchanged.
    """

    mean, std = 0.5, 0.25
    within_length = False  # whether it reads of each sequence the steps within `Split.lengths` alone, and no padding
    times = 0  # how many of the last views are other times of the same sequence: candidates, and no latents of P

    def attach(self, data: Data) -> None:
        """Take what is needed from the data, before training. Raises UserError for data that do not fit."""

    def require_readable(self, data: Data) -> None:
        """Raise UserError for other data, to which it is not attached, of which `clean` cannot be computed."""

    def shapes(self, data: Data) -> tuple[Shape, ...]:
        """The shapes of one x, of one x' and of each further view, as the encoders get them."""
        return data.shape, data.shape

    def places(self, data: Data) -> int:
        """How many places of a source its views may come from, where they depend on each other by them: the steps of a
        sequence. 1 where views are independent given their source."""
        return 1

    def compiled(self) -> "Pairs":
        """The same generator with what can be compiled by torch.compile compiled, for batches of one size."""
        return self

    @abstractmethod
    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, ...]:
        """-> x [B, ...], x' [B, ...] and each further view, in the run's floats; as many for every batch."""

    def clean(self, batch: Split) -> Tensor:
        """x without random augmentation, as probes read it, [B, ...] in the first of `shapes`."""
        return self.normalise(batch.x)

    def factors(self, batch: Split) -> Tensor | None:
        """The factors of `clean(batch)`, [B, F]; for sequences, those of the last step."""
        factors = batch.factors
        if factors is None or factors.ndim == 2:
            return factors
        return factors[torch.arange(len(factors), device=factors.device), batch.lengths - 1]

    def normalise(self, x: Tensor) -> Tensor:
        """Bytes to normalised floats; floats unchanged."""
        return (floats(x) / 255 - self.mean) / self.std if x.dtype == torch.uint8 else x

    def mi(self, data: Data) -> float | None:
        """I(x; x') of these pairs in nats, None if unknown."""
        return None

    def to_unit(self, x: Tensor) -> Tensor:
        """Normalised pixels back to [0, 1], for figures and explicit decoders."""
        return x * self.std + self.mean


def without_times(views: tuple[Tensor, ...], times: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(The views that P is of; those of so many other times, the last.)"""
    count = len(views) - times
    return views[:count], views[count:]


def other_side(batch: Split) -> Tensor:
    """What x' is computed from: the x' of the batch, else x."""
    return batch.x if batch.x_prime is None else batch.x_prime


def sides(batch: Split, views: int) -> tuple[Tensor, ...]:
    """What each view is computed from: the batch's own x, x' and further views, or x for all `views`."""
    return (batch.x,) * views if batch.x_prime is None else (batch.x, batch.x_prime, *batch.further)


def shapes_of_sides(data: Data, views: int) -> tuple[Shape, ...]:
    """The shapes of `sides`, of one sample."""
    if data.shape_prime is None:
        return (data.shape,) * views
    further = data.train.further if isinstance(data.train, Split) else ()
    return data.shape, data.shape_prime, *(tuple(view.shape[1:]) for view in further)


def kinds_of_sides(data: Data) -> set[torch.dtype]:
    """The types of x and, where the data have x', of x'."""
    own = data.train.x_prime if isinstance(data.train, Split) else None
    return {data.train.dtype} if own is None else {data.train.dtype, own.dtype}


def require_views(views: int, data: Data) -> None:
    """Raise UserError unless so many views can be made of the data."""
    require_at_least(2, views=views)
    alone = "data with their own x' have two views already"
    require(views == 2 or data.shape_prime is None, f"views must be 2, as {alone}, got {views}")


class Identity(Pairs):
    """The data's own (x, x'), with no augmentation: two sensors, two modalities."""

    def attach(self, data: Data) -> None:
        wanted = "data with their own x', such as dataset=paired; this data set has x alone"
        require(data.shape_prime is not None, f"pairs=identity needs {wanted}")

    def shapes(self, data: Data) -> tuple[Shape, ...]:
        return shapes_of_sides(data, 2)

    def __call__(self, batch: Split, generator: torch.Generator) -> tuple[Tensor, ...]:
        return tuple(map(self.normalise, sides(batch, 2)))


def make_pairs(config: DictConfig, data: Data) -> Pairs:
    """The pair generator of a configuration, attached to the data. Raises UserError if the two do not fit."""
    pairs = build(config, "pairs", CONTRACT)
    with setting_of("pairs", config):
        pairs.attach(data)
    require_promised(pairs, data)
    if not pairs.within_length and any(split.length is not None for split in data.splits.values()):
        reads = "reads whole sequences, with the zeros that pad them to one length"
        log.warning(f"pairs: {type(pairs).__name__} {reads}; pairs=context and pairs=window read within the length")
    return pairs


@torch.no_grad()
def require_promised(pairs: Pairs, data: Data) -> None:
    """Raise PartError unless a few samples become as many views as `shapes` says, of these shapes, in the run's floats,
    and then those of other `times`, and the samples stay as they are. It is tried once, before training: no step looks
    again."""
    batch, name = next(data.train.rows(slice(0, 8)).batches(8)), type(pairs).__name__
    handed = {f"batch.{part}": getattr(batch, part) for part in ("x", "x_prime", "y", "factors")}
    with read_only(f"pairs: {name}", **handed):
        views, again = (pairs(batch, torch.Generator(batch.x.device).manual_seed(0)) for _ in range(2))
    if not isinstance(views, (tuple, list)) or not all(isinstance(view, Tensor) for view in views):
        inside = f" of {', '.join(type(view).__name__ for view in views)}" if isinstance(views, (tuple, list)) else ""
        raise PartError(f"pairs: {name} must return a tuple of tensors, x and x', got a {type(views).__name__}{inside}")
    shapes = pairs.shapes(data)
    if len(views) != len(shapes) + pairs.times:
        of_times = f", and those of {pairs.times} other times" if pairs.times else ""
        gave = f"{name} gives {counted(len(views), 'view')}"
        raise PartError(f"pairs: {gave}, and must give {len(shapes)}, as `shapes` says{of_times}")
    for view, shape in zip(views, shapes):
        got, promised = list(view.shape), [len(batch), *shape]
        if got != promised or view.dtype != torch.get_default_dtype():
            gave = f"{name} gives {got} {dtype_name(view)}"
            wanted = f"{promised} {dtype_name(torch.get_default_dtype())}"
            raise PartError(f"pairs: {gave} for {len(batch)} samples, and must give {wanted}, as `shapes` says")
    if not all(torch.allclose(*both, equal_nan=True) for both in zip(views, again)):
        of_seed = "so a run cannot be repeated, or resumed to the same numbers"
        log.warning(f"pairs: {name} gives other views for the same generator, {of_seed}; draw all chance from it")
