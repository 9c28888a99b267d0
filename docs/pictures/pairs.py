"""A picture of pairs (x, x') without training: python docs/pictures/pairs.py OUT.png [OVERRIDES of ssvae train]"""

import sys

import torch
from hydra import compose, initialize_config_module

from ssvae_cli.evaluation.figures import pair_grid
from ssvae_cli.instantiate.build import build

SHOWN = 12


def main(out: str, *overrides: str) -> None:
    with initialize_config_module("ssvae_cli.conf", version_base="1.3"):
        config = compose("train", overrides=list(overrides))
    data, pairs = build(config.dataset, "dataset"), build(config.pairs, "pairs")
    pairs.attach(data)
    rows = torch.linspace(0, len(data.validation) - 1, SHOWN).long()  # evenly spaced: files are often sorted by class
    batch = data.validation.rows(rows)
    views = pairs(batch, torch.Generator().manual_seed(0))
    pair_grid(*(pairs.to_unit(view) for view in views)).savefig(out, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
