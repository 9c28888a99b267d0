"""The training loop of `ssvae train` without its evaluations.

usage: ours.py FOLDER IMAGES EPOCHS ENCODER PRECISION      FOLDER: train/ and test/ with a folder of images a class
"""

import sys

import torch
from recipe import configuration, measure

from ssvae_cli.instantiate.build import build
from ssvae_cli.objective import make_objective
from ssvae_cli.training.step import Step


def main(folder: str, images: str, epochs: str, encoder: str, precision: str) -> None:
    torch.manual_seed(0)
    cfg = configuration(folder, int(images), encoder, precision)
    trainer, data, pairs = build(cfg.trainer, "trainer"), build(cfg.dataset, "dataset"), build(cfg.pairs, "pairs")
    pairs.attach(data)
    objective = make_objective(cfg, *pairs.shapes(data)).train()
    size = trainer.batch_size
    steps = len(data.train) // size
    optimization = build(cfg.optimizer, "optimizer").attach([objective], int(epochs) * steps)
    learn = Step(objective=objective, pairs=pairs, optimization=optimization, noise=torch.Generator(), compile=False)

    def epoch():
        for i, batch in enumerate(data.train.batches(size, torch.randperm(len(data.train))[: steps * size])):
            learn(batch, i)
            yield len(batch)

    measure(epoch, int(epochs))


if __name__ == "__main__":
    main(*sys.argv[1:])
