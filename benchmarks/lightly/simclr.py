"""lightly's SimCLR loop (its transform, loss and torch's loader, as in its examples) with ssvae's encoder.

usage: simclr.py FOLDER IMAGES EPOCHS ENCODER PRECISION      FOLDER: train/ with a folder of images a class
"""

import sys
from pathlib import Path

import torch
from lightly.loss import NTXentLoss
from lightly.transforms import SimCLRTransform
from PIL import Image
from recipe import WORKERS, configuration, measure

from ssvae_cli.instantiate.build import build


class InMemory(torch.utils.data.Dataset):
    """Decoded images and their two views."""

    def __init__(self, folder: Path, count: int, transform):
        files = sorted(folder.rglob("*.jpg"))
        step = len(files) // count
        self.images = [Image.open(f).convert("RGB").copy() for f in files[::step][:count]]
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.transform(self.images[i])


def main(folder: str, images: str, epochs: str, encoder: str, precision: str) -> None:
    torch.manual_seed(0)
    cfg = configuration(folder, int(images), encoder, precision)
    normal = {"mean": [cfg.pairs.mean] * 3, "std": [cfg.pairs.std] * 3}
    transform = SimCLRTransform(input_size=32, cj_strength=0.5, min_scale=0.2, gaussian_blur=0.0, normalize=normal)
    loader = torch.utils.data.DataLoader(
        InMemory(Path(folder) / "train", int(images), transform),
        batch_size=cfg.trainer.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
    )
    network = build(cfg.encoder, "encoder", shape=(3, 32, 32))
    criterion = NTXentLoss(temperature=cfg.prior.critic.temperature)
    optimizer = torch.optim.AdamW(network.parameters(), lr=cfg.optimizer.lr, weight_decay=cfg.optimizer.weight_decay)

    def epoch():
        for x, x_prime in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                z, z_prime = network(x).mean, network(x_prime).mean
            loss = criterion(z, z_prime)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            yield len(x)

    measure(epoch, int(epochs))


if __name__ == "__main__":
    main(*sys.argv[1:])
