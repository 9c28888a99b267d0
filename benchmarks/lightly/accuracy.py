"""The linear probe after so many epochs of lightly's SimCLR loop with ssvae's encoder, and the time that they take.

usage: accuracy.py FOLDER EPOCHS SEED [OVERRIDE ...]      FOLDER: train/ and test/ with a folder of images a class

The probe is that of `ssvae train ... evaluation.rows=null`, on the same split: penalties on validation, test once.
"""

import json
import sys
import time

import torch
from recipe import configuration
from simclr import simclr

from ssvae_cli.instantiate.build import build
from ssvae_cli.pairs.base import make_pairs

PRECISION = "bf16"


def main(folder: str, epochs: str, seed: str, *overrides: str) -> None:
    torch.manual_seed(int(seed))
    cfg = configuration(folder, "null", "convnet", PRECISION, "dataset.validation=5000", *overrides)
    data = build(cfg.dataset, "dataset")
    network, epoch = simclr(cfg, data.train.x, int(epochs), PRECISION)
    began = time.perf_counter()
    for _ in range(int(epochs)):
        seen = sum(epoch())
        print(f"{seen} images, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - began
    pairs = make_pairs(cfg.pairs, data)
    probe = build(cfg.evaluation.metrics.probe, "evaluation.metrics.probe")
    splits = [labelled(network.eval(), pairs, split) for split in (data.train, data.validation, data.test)]
    chosen, validation = probe.choose(*splits[:2])
    found = {"epochs": int(epochs), "seconds": seconds, "probe/linear/validation": validation}
    print(json.dumps(found | {"probe/linear/test": probe.test(*splits, chosen)}))


@torch.no_grad()
def labelled(network, pairs, split):
    """The network's features of the images as they are, [N, F], and their labels, [N]."""
    features = [network.features(pairs.clean(batch)) for batch in split.batches(512)]
    return torch.cat(features), split.y


if __name__ == "__main__":
    main(*sys.argv[1:])
