"""Separate streams of random numbers: of views, of a rank, and for torch's samplers that take no generator."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from ssvae_cli.distributed.collectives import current_shard

APART = 1_618_033_989  # added to a seed for another stream


def seed_of_views(seed: int, device: torch.device) -> int:
    """The seed of the generator of training views on a device, where torch's global one has `seed`.

    Initial weights are drawn on the CPU. Of a GPU's global stream nothing is then used when training begins, and
    posterior samples, of this stream, would be the very numbers that make the views. On a CPU its numbers are others by
    then."""
    return seed if device.type == "cpu" else seed + APART


@contextlib.contextmanager
def own_stream(seed: int | torch.Generator | None, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generator starts from `seed`, or from a number drawn from it; afterwards it is restored.
    None: the global generator is used unchanged."""
    if seed is None:
        yield
        return
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(2**62, (), generator=seed, device=seed.device))
        seed += 0 if (shard := current_shard()) is None else shard.rank  # each rank has other samples
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def stream_of_rank(device: torch.device) -> Iterator[None]:
    """Inside, random layers of a network, such as dropout, draw for this rank's rows alone, each rank other numbers.

    Afterwards the global generators are in one state on all ranks again: as before, or, if anything was drawn, one
    number of the CPU's further, so that the next call has another stream. A single process uses them unchanged."""
    if (shard := current_shard()) is None:
        yield
        return
    before = torch.get_rng_state()
    seed = int(torch.randint(2**62, ())) + shard.rank
    with own_stream(seed, device):
        begun = _states(device)
        yield
        unused = torch.equal(begun, _states(device))
    if unused:
        torch.set_rng_state(before)


def _states(device: torch.device) -> Tensor:
    """Of the global generators that a network on a device draws from, in one."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)
