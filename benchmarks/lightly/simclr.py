"""lightly's SimCLR loop (its transform, loader and loss) with ssvae's convnet: images a second and peak memory.

usage: simclr.py IMAGES IMAGES_TO_USE EPOCHS      IMAGES: a folder with a folder a class
The augmentations, their probabilities, batch, precision, optimizer and encoder are those of
ssvae train dataset=folder pairs=natural encoder=convnet trainer.batch_size=512 trainer.precision=bf16.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from lightly.loss import NTXentLoss
from lightly.transforms import SimCLRTransform
from PIL import Image

from ssvae_cli.encoders import Encoder
from ssvae_cli.encoders.convnet import ConvNet

BATCH, WORKERS = 512, 2


class InMemory(torch.utils.data.Dataset):
    """Decoded images and their two views."""

    def __init__(self, folder: Path, count: int, transform):
        files = sorted(folder.rglob("*.jpg"))
        step = max(1, len(files) // count)
        self.images = [Image.open(f).convert("RGB").copy() for f in files[::step][:count]]
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.transform(self.images[i])


def main(folder: str, count: str, epochs: str) -> None:
    torch.manual_seed(0)
    normal = {"mean": [0.5] * 3, "std": [0.25] * 3}
    transform = SimCLRTransform(input_size=32, cj_strength=0.5, min_scale=0.2, gaussian_blur=0.0, normalize=normal)
    data = InMemory(Path(folder), int(count), transform)
    loader = torch.utils.data.DataLoader(
        data, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
    )
    encoder = Encoder(
        shape=(3, 32, 32),
        backbone=lambda shape: ConvNet(shape=shape, width=32, stages=3),
        latent_dim=64,
        projector=[256],
        posterior="deterministic",
    )
    criterion = NTXentLoss(temperature=0.1)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=0.002, weight_decay=0.01)
    rates = []
    for _ in range(int(epochs)):
        began, seen = time.perf_counter(), 0
        for x, x_prime in loader:
            with torch.autocast("cpu", torch.bfloat16):
                z, z_prime = encoder(x).mean, encoder(x_prime).mean
            loss = criterion(z, z_prime)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen += len(x)
        rates.append(seen / (time.perf_counter() - began))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"images_per_s": rates, "peak_gib": own, "workers": WORKERS}))


if __name__ == "__main__":
    main(*sys.argv[1:])
