"""Latents for TensorBoard's projector: points in space, coloured by label, drawn as their images."""

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter

from ssvae_cli.datasets.base import class_name, evenly_spaced
from ssvae_cli.load_run import Loaded

MOST = 2000  # samples of test, which the sprite holds as images
SPRITE = 8192  # pixels of a sprite's side, the most that TensorBoard shows


@torch.no_grad()
def projector(loaded: Loaded, run: Path, folder: Path) -> Path:
    """projector/: z of test, its labels and, of images, a sprite of them; `tensorboard --logdir` shows it."""
    test, pairs = loaded.data.test, loaded.pairs
    rows = evenly_spaced(len(test), MOST)
    clean = torch.cat([pairs.clean(batch) for batch in test.rows(rows).batches(MOST)])
    z = loaded.objective.posterior(clean).mean.float().cpu()
    images = thumbnails(pairs.to_unit(clean).clamp(0, 1).float().cpu()) if clean.ndim == 4 else None
    names = [class_name(label, loaded.data.classes) for label in test.y[rows.to(test.y.device)].tolist()]
    with SummaryWriter(folder / "projector") as writer:
        writer.add_embedding(z, metadata=names, label_img=images, tag="z of test")
    return folder / "projector"


def thumbnails(images: Tensor) -> Tensor:
    """Images in [0, 1], [N, C, H, W], as a sprite holds them: in colour and square, [N, 3, S, S], white around what is
    no square, and shrunk where all of them together would be larger than SPRITE."""
    height, width = images.shape[2:]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    squares = F.pad(images, (left, side - width - left, top, side - height - top), value=1.0)
    most = SPRITE // math.ceil(math.sqrt(len(images)))
    squares = F.interpolate(squares, most, mode="area") if side > most else squares
    return squares if squares.shape[1] == 3 else squares[:, :1].expand(-1, 3, -1, -1)
