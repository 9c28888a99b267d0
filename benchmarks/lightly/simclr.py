"""lightly's SimCLR loop (its transform, loss and torch's loader, as in its examples) with ssvae's encoder.

usage: simclr.py FOLDER IMAGES EPOCHS ENCODER PRECISION      FOLDER: train/ with a folder of images a class
"""

import sys
from collections.abc import Callable, Iterator

import torch
from lightly.loss import NTXentLoss
from lightly.transforms import SimCLRTransform
from lightly.utils.scheduler import CosineWarmupScheduler
from omegaconf import DictConfig
from PIL import Image
from recipe import WORKERS, configuration, measure
from torch import Tensor, nn

from ssvae_cli.instantiate.build import build


class InMemory(torch.utils.data.Dataset):
    """Decoded images, given as bytes [N, 3, H, W], and their two views."""

    def __init__(self, images: Tensor, transform):
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.transform(self.images[i])


def simclr(
    cfg: DictConfig, images: Tensor, epochs: int, precision: str
) -> tuple[nn.Module, Callable[[], Iterator[int]]]:
    """The network, and an epoch, which yields the images of each step; a warm-up and a cosine over all epochs."""
    normal = {"mean": [cfg.pairs.mean] * 3, "std": [cfg.pairs.std] * 3}
    transform = SimCLRTransform(input_size=32, cj_strength=0.5, min_scale=0.2, gaussian_blur=0.0, normalize=normal)
    loader = torch.utils.data.DataLoader(
        InMemory(images, transform),
        batch_size=cfg.trainer.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
    )
    network = build(cfg.encoder, "encoder", shape=(3, 32, 32))
    criterion = NTXentLoss(temperature=cfg.prior.critic.temperature)
    optimizer = torch.optim.AdamW(network.parameters(), lr=cfg.optimizer.lr, weight_decay=cfg.optimizer.weight_decay)
    steps = epochs * len(loader)
    schedule = CosineWarmupScheduler(optimizer, warmup_epochs=int(cfg.optimizer.warmup * steps), max_epochs=steps)

    def epoch():
        for x, x_prime in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                z, z_prime = network(x).mean, network(x_prime).mean
            loss = criterion(z, z_prime)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            yield len(x)

    return network, epoch


def main(folder: str, images: str, epochs: str, encoder: str, precision: str) -> None:
    torch.manual_seed(0)
    cfg = configuration(folder, int(images), encoder, precision)
    train = build(cfg.dataset, "dataset").train.x
    measure(simclr(cfg, train, int(epochs), precision)[1], int(epochs))


if __name__ == "__main__":
    main(*sys.argv[1:])
