"""The training loop of `ssvae train` without its evaluations.

usage: ours.py FOLDER IMAGES EPOCHS ENCODER PRECISION      FOLDER: train/ and test/ with a folder of images a class
"""

import sys

import torch
from recipe import configuration, measure

from ssvae_cli.device import keep_freed
from ssvae_cli.instantiate.build import build
from ssvae_cli.objective import make_objective
from ssvae_cli.pairs.base import make_pairs
from ssvae_cli.training.step import Forward


def main(folder: str, images: str, epochs: str, encoder: str, precision: str) -> None:
    torch.manual_seed(0)
    cfg = configuration(folder, int(images), encoder, precision)
    trainer, data = build(cfg.trainer, "trainer"), build(cfg.dataset, "dataset")
    keep_freed(trainer.device)
    pairs = make_pairs(cfg.pairs, data)
    objective = make_objective(cfg, *pairs.shapes(data)).train()
    size = trainer.batch_of(len(data.train))
    steps = len(data.train) // size
    optimization = build(cfg.optimizer, "optimizer").attach([objective], int(epochs) * steps)
    forward = Forward(objective, pairs, torch.Generator(), compile=False)

    def epoch():
        for i, batch in enumerate(data.train.batches(size, torch.randperm(len(data.train))[: steps * size])):
            (-forward(batch)).backward()
            optimization.step(i)
            yield len(batch)

    measure(epoch, int(epochs))


if __name__ == "__main__":
    main(*sys.argv[1:])
