"""A separate stream of random numbers, for torch's samplers that take no generator."""

import contextlib
from collections.abc import Iterator

import torch

from ssvae_cli.distributed.collectives import current_shard


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
