"""The latents of past batches, which estimators put beside those of the present one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssvae_cli.errors import require_at_least


class Bank(nn.Module):
    """The latents of the last `size` pairs, or of n views each, without their gradient; a part of the checkpoint."""

    def __init__(self, *, size: int, latent_dim: int, views: int = 2):
        super().__init__()
        require_at_least(1, size=size)
        self.register_buffer("latents", torch.zeros(views, size, latent_dim))
        self.register_buffer("place", torch.tensor(0))
        self.filled = 0  # no tensor: a shape that depended on one would wait for the device

    def past(self) -> tuple[Tensor, ...]:
        """What is stored, [M, D] for each view, M at most `size`."""
        return tuple(self.latents[:, : self.filled].clone())

    @torch.no_grad()
    def remember(self, latents: Sequence[Tensor]) -> None:
        """Store the latents of a batch, [B, D] for each view, in the place of the oldest."""
        size = self.latents.shape[1]
        fresh = torch.stack(list(latents))[:, -size:]
        rows = (self.place + torch.arange(fresh.shape[1], device=fresh.device)) % size
        self.latents[:, rows] = fresh.to(self.latents)
        self.place.copy_((self.place + fresh.shape[1]) % size)
        self.filled = min(self.filled + fresh.shape[1], size)

    def get_extra_state(self) -> int:
        return self.filled

    def set_extra_state(self, state: int) -> None:
        self.filled = state
