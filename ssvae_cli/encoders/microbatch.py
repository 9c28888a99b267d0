"""An encoder over a batch whose activations do not fit: a few rows at a time, made again in the backward pass.

The objective sees the latents of the whole batch, all negatives among them, and its gradient with respect to each is
exact: what GradCache (Gao et al. 2021) computes. Batch norm alone differs, for its statistics are a microbatch's.
"""

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ssvae_cli.distributed.collectives import current_shard


@torch.compiler.disable
def in_microbatches(module: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor, rows: int) -> Tensor:
    """function(x), [B, ...] -> [B, E], at most `rows` rows at a time; module: whose batch norms see a row once."""
    held = current_shard()
    longest = len(x) if held is None else max(held.sizes)  # as many pieces on every rank: they wait for one another
    pieces = x.tensor_split(math.ceil(longest / rows))
    contexts = lambda: (contextlib.nullcontext(), statistics_kept(module))
    return torch.cat([checkpoint(function, piece, use_reentrant=False, context_fn=contexts) for piece in pieces])


@contextlib.contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Inside, batch norms leave their running statistics as they are."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, kept in zip(norms, before):
            norm.momentum, norm.num_batches_tracked = kept
