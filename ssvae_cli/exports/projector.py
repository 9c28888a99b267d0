"""Latents for TensorBoard's projector: points in space, coloured by label, drawn as their images."""

from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from ssvae_cli.datasets.base import evenly_spaced
from ssvae_cli.load_run import Loaded

MOST = 2000  # samples of test, which the sprite holds as images


@torch.no_grad()
def projector(loaded: Loaded, run: Path, folder: Path) -> Path:
    """projector/: z of test, its labels and, of images, a sprite of them; `tensorboard --logdir` shows it."""
    test, pairs = loaded.data.test, loaded.pairs
    rows = evenly_spaced(len(test), MOST)
    clean = torch.cat([pairs.clean(batch) for batch in test.rows(rows).batches(MOST)])
    z = loaded.objective.posterior(clean).mean.float().cpu()
    y, classes = test.y[rows.to(test.y.device)].tolist(), dict(enumerate(loaded.data.classes))
    images = pairs.to_unit(clean).clamp(0, 1).float().cpu() if clean.ndim == 4 else None
    if images is not None:
        images = images if images.shape[1] == 3 else images[:, :1].expand(-1, 3, -1, -1)
    names = [classes.get(label, str(label) if label >= 0 else "no label") for label in y]
    with SummaryWriter(folder / "projector") as writer:
        writer.add_embedding(z, metadata=names, label_img=images, tag="z of test")
    return folder / "projector"
