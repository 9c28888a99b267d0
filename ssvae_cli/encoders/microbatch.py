"""An encoder over a batch whose activations do not fit in memory: a few rows at a time, recomputed for the gradient.

The objective sees the latents of the whole batch, with all negatives, and its gradient with respect to each is exact,
as in GradCache (Gao et al. 2021). Only batch norm differs: its statistics are those of a microbatch.
"""

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ssvae_cli.distributed.collectives import current_shard


def in_microbatches(module: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor, rows: int) -> Tensor:
    """function(x), [B, ...] -> [B, E], at most `rows` rows at a time; the batch norms of `module` count a row once."""
    shard = current_shard()
    longest = len(x) if shard is None else max(shard.sizes)  # as many pieces on every rank: they wait for one another
    pieces = x.tensor_split(math.ceil(longest / rows))
    if len(pieces) == 1:
        return function(x)
    if torch.compiler.is_compiling():  # its graph writes the statistics once
        return torch.cat([checkpoint(function, piece, use_reentrant=False) for piece in pieces])
    contexts = lambda: (contextlib.nullcontext(), statistics_kept(module))
    return torch.cat([checkpoint(function, piece, use_reentrant=False, context_fn=contexts) for piece in pieces])


@contextlib.contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Inside, batch norms leave their running statistics unchanged."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, settings in zip(norms, before):
            norm.momentum, norm.num_batches_tracked = settings
