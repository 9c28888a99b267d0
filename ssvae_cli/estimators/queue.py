"""InfoNCE against a bank of past latents."""

import torch

from ssvae_cli.errors import require
from ssvae_cli.estimators.infonce import InfoNCE
from ssvae_cli.ranks import everyone


class Queue(InfoNCE):
    """K-way InfoNCE, latents of past batches among the candidates, K = batch + bank (He et al. 2020, MoCo).

    Relation to I: a lower bound up to the staleness of the bank, made by earlier encoders and without gradient; at most
    log K. Relation to the ELBO of the InfoNCE prior (Eq. 30): another quantity, equal to it as K
    grows. Low variance. size: how many past pairs are kept; evaluation neither reads nor moves the bank.
    """

    name = "queue"

    def __init__(self, *, size: int, latent_dim: int):
        super().__init__()
        require(size >= 1, f"estimator.size must be at least 1, got {size}")
        self.register_buffer("bank", torch.zeros(2, size, latent_dim))
        self.register_buffer("filled", torch.tensor(0))
        self.register_buffer("place", torch.tensor(0))

    @torch.no_grad()
    def past(self, encoded):
        if not self.training:
            return None
        kept = self.bank[:, : int(self.filled)].clone()
        size, fresh = (
            self.bank.shape[1],
            torch.stack([everyone(encoded.z), everyone(encoded.z_prime)])[:, -self.bank.shape[1] :],
        )
        rows = (self.place + torch.arange(fresh.shape[1], device=fresh.device)) % size
        self.bank[:, rows] = fresh.to(self.bank)
        self.place.copy_((self.place + fresh.shape[1]) % size)
        self.filled.copy_((self.filled + fresh.shape[1]).clamp_max(size))
        return kept[0], kept[1]
