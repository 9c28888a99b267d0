"""Streaming from a folder of JPEGs beside the decoder alone, with the same workers, and beside a plain ImageFolder.

    python benchmarks/data/streaming.py FOLDER [--count 10000] [--side 128] [--workers 2] [--rounds 5]

FOLDER is filled with `count` JPEGs of side x side pixels if it is empty. One after another, `rounds` times: every file
decoded to bytes [3, side, side] by `workers` processes that keep nothing, and by Pillow's own call in as many; the same
files as shuffled batches of 256 from dataset=folder's stream; torchvision's ImageFolder behind a DataLoader. Prints
images per second, medians, their ratios, and the processor time of an image: of all processes, and of the main one.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import pil_to_tensor

from ssvae_cli.datasets.io.images import ImageFiles
from ssvae_cli.datasets.io.streaming import Streamed

BATCH = 256


def fill(folder: Path, count: int, side: int) -> None:
    """Smooth random colours with some grain: they compress about as photographs do."""
    (folder / "class").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for i in range(count):
        x = F.interpolate(torch.rand(1, 3, 8, 8, generator=generator), (side, side), mode="bicubic")[0]
        x = (255 * (x + 0.05 * torch.randn(x.shape, generator=generator))).clamp(0, 255).byte()
        Image.fromarray(x.permute(1, 2, 0).numpy()).save(folder / "class" / f"{i:05}.jpg", quality=90)


def decode(files: ImageFiles, rows: range) -> None:
    place = np.empty((1, *files.shape), np.uint8)
    for row in rows:
        files.read([row], place)


def pillow(files: ImageFiles, rows: range) -> None:
    for row in rows:
        with Image.open(files.files[row]) as image:
            np.asarray(image.convert("RGB"))


def alone(decoder: Callable[[ImageFiles, range], None], files: ImageFiles, workers: int) -> None:
    """A decoder in `workers` processes, and nothing else."""
    shares = [range(i, len(files), workers) for i in range(workers)]
    processes = [multiprocessing.Process(target=decoder, args=(files, share)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def streamed(files: ImageFiles, workers: int) -> None:
    split = Streamed(files, torch.zeros(len(files), dtype=torch.long), None, workers)
    seen = sum(len(batch) for batch in split.batches(BATCH, torch.randperm(len(split))))
    assert seen == len(files)


def image_folder(folder: Path, workers: int) -> None:
    data = ImageFolder(folder, transform=pil_to_tensor)
    for _ in DataLoader(data, BATCH, shuffle=True, num_workers=workers):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in {"count": 10_000, "side": 128, "workers": 2, "rounds": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.folder.exists():
        fill(given.folder, given.count, given.side)
    paths = sorted((given.folder / "class").glob("*.jpg"))
    files = ImageFiles(paths, (3, given.side, given.side), None)
    ways = {
        "decoder alone": lambda: alone(decode, files, given.workers),
        "streamed": lambda: streamed(files, given.workers),
        "Pillow alone": lambda: alone(pillow, files, given.workers),
        "ImageFolder": lambda: image_folder(given.folder, given.workers),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, way in ways.items():
            began, before = time.perf_counter(), os.times()
            way()
            rates[name].append(len(files) / (time.perf_counter() - began))
            user, system, *children = (now - then for now, then in zip(os.times()[:4], before))
            used[name].append((user + system + sum(children), user + system))
    for name, each in rates.items():
        share = statistics.median(rate / limit for rate, limit in zip(each, rates["decoder alone"]))
        spread = f"{min(each):.0f} to {max(each):.0f}"
        of_all, of_main = (statistics.median(seconds) / len(files) * 1e6 for seconds in zip(*used[name]))
        print(
            f"{name:14} {statistics.median(each):7.0f} images/s ({spread}), {share:.2f} of the decoder; "
            f"{of_all:.0f} us of processor an image, {of_main:.0f} of them the main process's"
        )


if __name__ == "__main__":
    main()
