"""Several processes, one run: torch.distributed behind a few calls, which do nothing in a single process.

Within `sharded(B)` every rank has its rows of a batch of B and computes the ELBO of the whole batch. The collectives'
backward passes are the exact adjoints for the mean over ranks of these (equal) ELBOs, so gradients averaged over the
ranks are those of one process with the whole batch.
"""

import atexit
import contextlib
import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssvae_cli.compiler import marked
from ssvae_cli.distributed.launch import processes
from ssvae_cli.distributed.row_seeds import of_seeds

SEEDED = 2**24  # numbers of a batch beyond which each of its rows has a seed
PATIENCE = timedelta(hours=2)  # for ranks that wait while rank zero evaluates; torchrun handles a rank that dies


def world_size() -> int:
    """The number of processes that share the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_rank_zero() -> bool:
    """Whether this is the process that logs, evaluates and saves."""
    return not dist.is_initialized() or dist.get_rank() == 0


def init_process_group(device: torch.device) -> None:
    """Connect to the other processes that torchrun started, if any. Raises UserError as `processes`."""
    if dist.is_initialized() or processes() == 1:
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, rank, count = next(dist.rendezvous("env://", timeout=PATIENCE))
    wait_for_all(store, count)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    atexit.register(dist.destroy_process_group)
    if not is_rank_zero():
        logging.disable(logging.ERROR)


def wait_for_all(store: dist.Store, count: int) -> None:
    """Wait until `count` processes have come here, for PATIENCE at most.

    torch's init_process_group waits too, but hears no signal meanwhile: where another process refuses its part,
    torchrun's SIGTERM would do nothing, and its SIGKILL come half a minute later."""
    deadline = time.monotonic() + PATIENCE.total_seconds()
    store.add("arrived", 1)
    while store.add("arrived", 0) < count and time.monotonic() < deadline:
        time.sleep(0.1)


@dataclass(frozen=True)
class Shard:
    """This rank's rows of a batch: ranks have consecutive pieces, whose sizes differ by at most one."""

    total: int  # rows of the whole batch
    sizes: tuple[int, ...]  # of each rank's piece
    rank: int

    @property
    def rows(self) -> slice:
        """This rank's rows among those of the whole batch."""
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])


_shard: Shard | None = None


@contextlib.contextmanager
def sharded(total: int) -> Iterator[slice]:
    """Inside, tensors with one row per image are this rank's part of a batch of `total`; yields its rows."""
    global _shard
    if world_size() == 1:
        yield slice(0, total)
        return
    size, more = divmod(total, world_size())
    _shard = Shard(total, tuple(size + (r < more) for r in range(world_size())), dist.get_rank())
    try:
        yield _shard.rows
    finally:
        _shard = None


def current_shard() -> Shard | None:
    """This rank's rows of the current batch; None outside `sharded` and in a single process."""
    return _shard


def draw_rows(random: Callable[..., Tensor], rows: int, *shape: int, **options) -> Tensor:
    """random(rows, *shape), as torch.rand and torch.randn; under `sharded` the numbers that one process would draw.

    Every rank draws the whole batch's numbers, from generators in the same state, and keeps those of its rows; of a
    batch of more than SEEDED numbers it draws a seed for each row, and the numbers of its own rows alone.
    rows: a multiple of this rank's rows, such as twice as many for two views."""
    total, times, own = rows, 1, slice(None)
    if _shard is not None:
        total, times, own = _shard.total, rows // _shard.sizes[_shard.rank], _shard.rows
    if times * total * math.prod(shape) > SEEDED:
        dtype = options.pop("dtype", None)
        seeds = torch.randint(2**62, (times, total), **options)[:, own].flatten()
        return of_seeds(random, seeds, *shape, dtype=dtype)
    return random(times, total, *shape, **options)[:, own].reshape(rows, *shape)


def all_reduce_mean(values: Tensor) -> Tensor:
    """Mean over the rows of the whole batch, [b] -> []."""
    return values.mean() if _shard is None else all_reduce_sum(values.sum()) / _shard.total


def all_gather(x: Tensor) -> Tensor:
    """The rows of every rank in the order of the batch, [b, ...] -> [B, ...]; differentiable."""
    return x if _shard is None else _gathered(x)


def own_rows(x: Tensor) -> Tensor:
    """This rank's rows of what is there of the whole batch, [B, ...] -> [b, ...]: `all_gather` takes them back."""
    return x if _shard is None else x[_shard.rows]


def all_gather_own_first(x: Tensor) -> Tensor:
    """As `all_gather`, rolled so that this rank's rows come first."""
    return x if _shard is None else all_gather(x).roll(-_shard.rows.start, 0)


def all_gather_encoded(encoded):
    """An `Encoded` of the whole batch, from each rank's own."""
    if _shard is None:
        return encoded

    def whole(part):
        if isinstance(part, Tensor):
            return all_gather(part)
        gathered = copy.copy(part)  # a posterior: its tensors have one row per image
        vars(gathered).update({k: all_gather(v) for k, v in vars(part).items() if isinstance(v, Tensor)})
        return gathered

    return encoded._replace(**{name: tuple(map(whole, parts)) for name, parts in encoded._asdict().items()})


def all_reduce_sum(x: Tensor) -> Tensor:
    """The sum over ranks of equally shaped x; its gradient is the sum of theirs."""
    return x if _shard is None else _total(x)


def all_reduce_max(x: Tensor) -> Tensor:
    """The elementwise maximum over ranks, without gradient."""
    return x.detach() if _shard is None else _largest(x.detach())


@marked("disable")  # collectives run between the compiled graphs
def _gathered(x: Tensor) -> Tensor:
    return _Gather.apply(x, _shard)


@marked("disable")
def _total(x: Tensor) -> Tensor:
    return _Sum.apply(x)


@marked("disable")
def _largest(x: Tensor) -> Tensor:
    x = x.clone()
    dist.all_reduce(x, dist.ReduceOp.MAX)
    return x


def _summed(x: Tensor) -> Tensor:
    x = x.clone()
    dist.all_reduce(x)
    return x


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return _summed(x)

    @staticmethod
    def backward(ctx, grad):
        return _summed(grad)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, shard):
        ctx.rows = shard.rows
        padded = torch.cat([x, x.new_zeros(max(shard.sizes) - len(x), *x.shape[1:])])  # all_gather needs equal sizes
        pieces = [torch.empty_like(padded) for _ in shard.sizes]
        dist.all_gather(pieces, padded)
        return torch.cat([piece[:size] for piece, size in zip(pieces, shard.sizes)])

    @staticmethod
    def backward(ctx, grad):
        return _summed(grad.contiguous())[ctx.rows], None


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the ranks, in one message."""
    if world_size() == 1:
        return
    trained = [p for p in parameters if p.grad is not None]
    flat = torch.cat([p.grad.flatten() for p in trained])
    dist.all_reduce(flat)
    for p, grad in zip(trained, (flat / world_size()).split([p.numel() for p in trained])):
        p.grad.copy_(grad.view_as(p))


def broadcast_random_state() -> None:
    """Give every rank the global random state of rank zero, which evaluation may have changed."""
    if world_size() > 1:
        on_gpu = dist.get_backend() == "nccl"
        for generator in (torch, torch.cuda) if on_gpu else (torch,):
            state = generator.get_rng_state().to("cuda" if on_gpu else "cpu")
            dist.broadcast(state, 0)
            generator.set_rng_state(state.cpu())
