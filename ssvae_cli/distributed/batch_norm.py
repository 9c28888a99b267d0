"""Batch norm over the rows of all ranks."""

import torch
from torch import Tensor, nn

from ssvae_cli.device import full_precision
from ssvae_cli.distributed.collectives import all_reduce_sum, current_shard, world_size


def synchronise_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with batch norms over the rows of all ranks; parameters and names stay."""
    if world_size() == 1:
        return module
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.__class__ = AllReducedBatchNorm
    return module


class AllReducedBatchNorm(nn.modules.batchnorm._BatchNorm):
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
                self.running_mean.lerp_(centre.to(self.running_mean), self.momentum)
                self.running_var.lerp_((variance * pixels / (pixels - 1)).to(self.running_var), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (around * scale.view(shaped) + self.bias.view(shaped)).to(x.dtype)
