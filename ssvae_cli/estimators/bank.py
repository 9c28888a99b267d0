"""The latents of past batches, as further candidates beyond those of the present one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require_at_least
from ssvae_cli.scores.protocol import Past


class Bank(nn.Module):
    """The latents of the last `size` pairs, or of n views each, without their gradient; a part of the checkpoint.

    Its tensors have the same shapes before it is full, so that a compiled step stays one graph."""

    def __init__(self, *, size: int, latent_dim: int, views: int = 2):
        super().__init__()
        require_at_least(1, size=size)
        self.register_buffer("latents", torch.zeros(views, size, latent_dim))
        self.register_buffer("seen", torch.tensor(0))  # how many pairs have been stored; the next place is its rest

    def past(self) -> Past:
        """What is stored, `size` rows, of which those not yet filled are absent."""
        places = torch.arange(self.latents.shape[1], device=self.latents.device)
        return Past(tuple(self.latents.clone()), places < self.seen)

    @torch.no_grad()
    def remember(self, latents: Sequence[Tensor]) -> None:
        """Store the latents of a batch, [B, D] for each view, in the place of the oldest."""
        size = self.latents.shape[1]
        fresh = torch.stack(list(latents))[:, -size:]
        rows = (self.seen + torch.arange(fresh.shape[1], device=fresh.device)) % size
        self.latents[:, rows] = fresh.to(self.latents)
        self.seen.add_(fresh.shape[1])
