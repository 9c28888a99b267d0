"""Batch norm over the rows of all ranks."""

import torch
from torch import Tensor, nn

from ssvae_cli.device import full_precision
from ssvae_cli.distributed.collectives import all_reduce_sum, current_shard, world_size
from ssvae_cli.errors import require

BatchNorm = nn.modules.batchnorm._BatchNorm  # of any number of axes


def synchronise_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with batch norms over the rows of all ranks; parameters and names stay. Raises UserError for one that
    does more than normalise, as timm's with an activation in it: what takes its place would leave that out."""
    if world_size() == 1:
        return module
    for name, child in module.named_modules():
        more = isinstance(child, BatchNorm) and type(child).forward not in (BatchNorm.forward, nn.SyncBatchNorm.forward)
        fault = f"{name} is a {type(child).__name__}, a batch norm that does more than normalise"
        require(
            not more, f"{fault}, which several processes cannot share; give another backbone, or leave out torchrun"
        )
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for child in module.modules():
        if isinstance(child, BatchNorm):
            child.__class__ = AllReducedBatchNorm
    return module


class AllReducedBatchNorm(BatchNorm):
    """Batch norm over the rows of all ranks for CPUs, which nn.SyncBatchNorm does not support. x: [b, C, ...]."""

    def _check_input_dim(self, x):
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or current_shard() is None:
            return super().forward(x)
        axes, shaped = [axis for axis in range(x.ndim) if axis != 1], (-1, *[1] * (x.ndim - 2))
        wide = full_precision(x)
        pixels = wide.new_tensor([x.numel() / x.shape[1]])
        total, pixels = all_reduce_sum(torch.cat([wide.sum(axes), pixels])).split([x.shape[1], 1])  # of all ranks
        centre = total / pixels
        around = wide - centre.view(shaped)
        variance = all_reduce_sum((around**2).sum(axes)) / pixels
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
                self.running_mean.lerp_(centre.to(self.running_mean), share)
                self.running_var.lerp_((variance * pixels / (pixels - 1)).to(self.running_var), share)
        scale = (variance + self.eps).rsqrt()
        if not self.affine:
            return (around * scale.view(shaped)).to(x.dtype)
        return (around * (self.weight * scale).view(shaped) + self.bias.view(shaped)).to(x.dtype)
