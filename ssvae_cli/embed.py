"""`ssvae embed`: features and latents of data as one .npz, or the exported encoder for other programs."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from ssvae_cli.errors import UserError, allowed, require
from ssvae_cli.evaluation.pair_scores import pair_scores
from ssvae_cli.evaluation.reading import Reading
from ssvae_cli.exports import EXPORTS
from ssvae_cli.files import atomic_write
from ssvae_cli.instantiate.build import build
from ssvae_cli.load_run import Loaded, load_run
from ssvae_cli.paths import expanded
from ssvae_cli.tracking.missing import Missing

log = logging.getLogger(__name__)
CHUNK = 512


def embed(cfg: DictConfig, folder: Path, choices: dict[str, str]) -> Path:
    """Write embeddings.npz, or the exported encoder, into `folder`; returns what was written.

    embeddings.npz contains, for every split, features_<split> [N, F] (the input of probes), z_<split> [N, D] (the
    posterior's mean) and, if the data have them, y_<split> [N] (`labels`), factors_<split> [N, ...], row_<split> [N]
    (the row of each sample in its array of the user's .npz) or name_<split> [N] (its file, cell or id), all of clean
    samples; classes [C], where labels are words. With score=pair also score_<split> [N], nats, of a pair of views of
    each sample (`pair_scores`).
    """
    require(
        cfg.score in (None, "pair"), f"score={cfg.score} is not a choice; {allowed(str(cfg.score), ['pair', 'null'])}"
    )
    require(cfg.score is None or cfg.export is None, "score=pair is of features as .npz; leave out export")
    wrong = f"export={cfg.export} is not a choice; {allowed(str(cfg.export), [*EXPORTS, 'null'])}"
    require(cfg.export is None or cfg.export in EXPORTS, wrong)
    options = {"device": cfg.device, "trust": cfg.trust, "name": str(cfg.checkpoint)}
    loaded = load_run(cfg.run, dataset=cfg.dataset, in_pairs=cfg.score is not None, **options)
    if cfg.export is None:
        path, arrays = folder / "embeddings.npz", embeddings(loaded) | (scores(loaded) if cfg.score else {})
        atomic_write(path, lambda at: write_npz(at, arrays))
    else:
        path, arrays = EXPORTS[cfg.export](loaded, Path(expanded(cfg.run, "run")), folder), {}
    loaded.introduce(cfg.run)
    for name, array in arrays.items():
        log.info("%s %s %s", name, list(array.shape), array.dtype)
    log.info("%s", path)
    return path


@torch.no_grad()
def embeddings(loaded: Loaded) -> dict[str, np.ndarray]:
    """The arrays of embeddings.npz."""
    data, listing = loaded.data, loaded.data.listing()
    named = data.classes and integers(data.classes) is None
    arrays = {"classes": np.array(data.classes, np.str_)} if named else {}
    for name, split in data.splits.items():
        chunks = (loaded.pairs.clean(batch) for batch in split.batches(CHUNK))
        features, z = map(torch.cat, zip(*map(loaded.objective.represented, chunks)))
        y = labels(split.y, data.classes) if (split.y >= 0).any() else None
        row = None if listing else split.row
        tensors = {"features": features, "z": z, "y": y, "factors": split.factors, "row": row}
        arrays |= {f"{key}_{name}": tensor.cpu().numpy() for key, tensor in tensors.items() if tensor is not None}
        if listing:
            arrays[f"name_{name}"] = np.array(listing[name], np.str_)
    return arrays


def labels(y: Tensor, classes: Sequence[str]) -> Tensor:
    """The labels of codes, int64 [N]: the user's own integers; of classes that are words, or have no name, the codes
    themselves, which count `classes` from 0. -1 where there is none."""
    own = integers(classes)
    return y if own is None else torch.where(y < 0, y, torch.tensor(own, device=y.device)[y.clamp_min(0)])


def integers(classes: Sequence[str]) -> list[int] | None:
    """The classes as integers; None where they are words."""
    whole = all(re.fullmatch(r"0|[1-9]\d{0,17}", name) for name in classes)
    return [int(name) for name in classes] if classes and whole else None


def scores(loaded: Loaded) -> dict[str, np.ndarray]:
    """score_<split> [N]. Raises UserError where pairs have no score."""
    require(loaded.objective.decoder is None, "score=pair is of an SSVAE; the run has an explicit decoder")
    settings = build(loaded.config.evaluation, "evaluation").settings
    reading, found = Reading(loaded.objective, loaded.pairs, loaded.data, **settings), {}
    for split in loaded.data.splits:
        values = pair_scores(reading, split)
        if isinstance(values, Missing):
            raise UserError(f"score=pair: {values.reason}")
        found[f"score_{split}"] = values.cpu().numpy()
    return found


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz with exactly this name: numpy appends .npz to a path, but not to an open file."""
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)
