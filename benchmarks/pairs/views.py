"""Two SimCLR views of a batch: pairs a second by ssvae, kornia's batched chain and torchvision v2 per image.

    benchmarks/pairs/environment.sh DIR PYTHON && DIR/bin/python benchmarks/pairs/views.py OUT.json [--device cuda]

All take the same uint8 images to two normalised float views, with SimCLR's settings, in turns in one process; a figure
is the median over the rounds. torchvision also runs in a DataLoader with 2 workers; on a GPU it is left out. Beside the
clock stands the processor time of a pair, which other work moves less; --threads 1 keeps spinning out of it. --sides 96
measures that size alone.
"""

import argparse
import json
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from ssvae_cli.datasets.base import Split
from ssvae_cli.pairs.augment import Augment
from ssvae_cli.pairs.colour import Blur, Grayscale, Jitter
from ssvae_cli.pairs.geometry import Crop

SCALE, RATIO, JITTER, KERNEL, SIGMA = (0.2, 1.0), (3 / 4, 4 / 3), (0.4, 0.4, 0.4, 0.1), 9, (0.1, 2.0)
WORKERS = 2
BLURRED = {32: False, 96: True}  # by the images' side


def ours(x, blurred):
    augment = Augment(
        crop=Crop(scale=SCALE, ratio=RATIO),
        flip=0.5,
        affine=None,
        jitter=Jitter(**dict(zip(("brightness", "contrast", "saturation", "hue"), JITTER)), probability=0.8),
        grayscale=Grayscale(probability=0.2),
        blur=Blur(kernel=KERNEL, sigma=SIGMA, probability=0.5) if blurred else None,
        solarize=None,
        noise=None,
        mean=0.5,
        std=0.25,
        size=None,
    )
    generator = torch.Generator(x.device).manual_seed(0)
    batch = Split(x, torch.full((len(x),), -1))
    return lambda: augment(batch, generator)


def kornia(x, blurred):
    import kornia.augmentation as K

    side = x.shape[-1]
    operations = [
        # "resample" is its batched mode; the default loops over the samples.
        K.RandomResizedCrop((side, side), scale=SCALE, ratio=RATIO, cropping_mode="resample"),
        K.RandomHorizontalFlip(0.5),
        K.ColorJitter(*JITTER, p=0.8),
        K.RandomGrayscale(p=0.2),
        *([K.RandomGaussianBlur((KERNEL, KERNEL), SIGMA, p=0.5)] if blurred else []),
        K.Normalize(0.5, 0.25),
    ]
    chain = K.AugmentationSequential(*operations, data_keys=["input"])
    return lambda: chain(torch.cat([x, x]).float() / 255).chunk(2)


class Views(Dataset):
    """torchvision's two views of image i."""

    def __init__(self, x, blurred):
        self.x = x
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(x.shape[-1], scale=SCALE, ratio=RATIO, antialias=True),
                v2.RandomHorizontalFlip(0.5),
                v2.RandomApply([v2.ColorJitter(*JITTER)], 0.8),
                v2.RandomGrayscale(0.2),
                *([v2.RandomApply([v2.GaussianBlur(KERNEL, SIGMA)], 0.5)] if blurred else []),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.25] * 3),
            ]
        )

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.transform(self.x[i]), self.transform(self.x[i])


def torchvision(x, blurred):
    views = Views(x, blurred)
    return lambda: [torch.stack(side) for side in zip(*(views[i] for i in range(len(x))))]


def torchvision_workers(x, blurred):
    views = Views(x.repeat(4, 1, 1, 1), blurred)
    loader = DataLoader(views, batch_size=len(x), num_workers=WORKERS, persistent_workers=True)
    return lambda: [None for _ in loader]


CONTENDERS = {  # each with the batches that a call makes
    "ssvae": (ours, 1),
    "kornia, batched": (kornia, 1),
    "torchvision v2, a loop": (torchvision, 1),
    "torchvision v2, DataLoader of 2 workers": (torchvision_workers, 4),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sides", type=int, nargs="+", default=list(BLURRED), choices=BLURRED)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    on_gpu = arguments.device != "cpu"
    name = torch.cuda.get_device_name() if on_gpu else platform.processor()
    result = {"batch": arguments.batch, "threads": arguments.threads, "rounds": arguments.rounds, "device": name}
    result["versions"] = {name: version(name) for name in ("torch", "torchvision", "kornia")}
    for side in arguments.sides:
        blurred = BLURRED[side]
        x = torch.randint(0, 256, (arguments.batch, 3, side, side), dtype=torch.uint8).to(arguments.device)
        calls = {name: (make(x, blurred), batches) for name, (make, batches) in CONTENDERS.items()}
        calls = {name: call for name, call in calls.items() if not (on_gpu and name.startswith("torchvision"))}
        rates, processor = {name: [] for name in calls}, {name: [] for name in calls}
        for _ in range(arguments.rounds + 1):
            for name, (call, batches) in calls.items():
                repeats = 5 if name in ("ssvae", "kornia, batched") else 1
                began, used = time.perf_counter(), time.process_time()
                for _ in range(repeats):
                    call()
                if on_gpu:
                    torch.cuda.synchronize()
                pairs = repeats * batches * len(x)
                rates[name].append(pairs / (time.perf_counter() - began))
                processor[name].append((time.process_time() - used) / pairs * 1e6)
        rates, processor = ({k: v[1:] for k, v in found.items()} for found in (rates, processor))  # without the first
        medians, costs = ({k: statistics.median(v) for k, v in found.items()} for found in (rates, processor))
        case = f"{side}x{side}{' with blur' if blurred else ''}"
        result[case] = {"pairs_per_s": medians, "processor_us_per_pair": costs, "rounds": rates, "processor": processor}
        for name, rate in medians.items():
            alone = (
                "" if "workers" in name else f"  {costs[name]:7.0f} us of processor, {costs[name] / costs['ssvae']:.2f}"
            )
            print(f"{case:18} {name:40} {rate:7.0f} pairs/s, 1/{medians['ssvae'] / rate:.2f}{alone}", flush=True)
        arguments.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
