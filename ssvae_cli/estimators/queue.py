"""InfoNCE against a bank of past latents."""

import torch

from ssvae_cli.distributed.collectives import all_gather
from ssvae_cli.errors import require_at_least
from ssvae_cli.estimators.infonce import InfoNCE


class Queue(InfoNCE):
    """K-way InfoNCE, latents of past batches among the candidates, K = batch + bank (He et al. 2020, MoCo).

    Relation to I: a lower bound up to the staleness of the bank, made by earlier encoders and without gradient; at most
    log K. Relation to the ELBO of the InfoNCE prior (Eq. 30): another quantity, equal to it as K
    grows. Low variance. size: how many past pairs are kept; evaluation neither reads nor moves the bank.
    """

    name = "queue"
    keeps_past = True

    def __init__(self, *, size: int, latent_dim: int):
        super().__init__()
        require_at_least(1, size=size)
        self.register_buffer("bank", torch.zeros(2, size, latent_dim))
        self.register_buffer("filled", torch.tensor(0))
        self.register_buffer("place", torch.tensor(0))

    def past(self):
        if not self.training:
            return None
        kept = self.bank[:, : int(self.filled)].clone()
        return kept[0], kept[1]

    @torch.no_grad()
    def remember(self, encoded):
        if not self.training:
            return
        size = self.bank.shape[1]
        fresh = torch.stack([all_gather(z) for z in encoded.latents])[:, -size:]
        rows = (self.place + torch.arange(fresh.shape[1], device=fresh.device)) % size
        self.bank[:, rows] = fresh.to(self.bank)
        self.place.copy_((self.place + fresh.shape[1]) % size)
        self.filled.copy_((self.filled + fresh.shape[1]).clamp_max(size))
