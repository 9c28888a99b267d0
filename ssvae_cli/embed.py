"""`ssvae embed`: features and latents of data as one .npz, or the exported encoder for other programs."""

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import allowed, require, require_extra
from ssvae_cli.files import atomic_write
from ssvae_cli.load_run import Loaded, load_run

log = logging.getLogger(__name__)
CHUNK = 512
NO_LABELS = torch.empty(0, dtype=torch.long)  # an encoder does not read labels


def embed(cfg: DictConfig, folder: Path, choices: dict[str, str]) -> Path:
    """Write embeddings.npz, or encoder.<export>, into `folder`; returns the file.

    embeddings.npz contains, for every split, features_<split> [N, F] (the input of probes), z_<split> [N, D] (the
    posterior's mean) and, if the data have them, y_<split> [N], factors_<split> [N, ...], row_<split> [N] (the row of
    each sample in its array of the user's .npz) or name_<split> [N] (its file, cell or id), all of clean samples.
    """
    wrong = f"export={cfg.export} is not a choice; {allowed(str(cfg.export), [*EXPORTS, 'null'])}"
    require(cfg.export is None or cfg.export in EXPORTS, wrong)
    loaded = load_run(cfg.run, device=cfg.device, trust=cfg.trust, dataset=cfg.dataset)
    if cfg.export is None:
        path, arrays = folder / "embeddings.npz", embeddings(loaded)
        atomic_write(path, lambda at: write_npz(at, arrays))
        log.info("\n".join(f"{name} {list(a.shape)} {a.dtype}" for name, a in arrays.items()))
    else:
        path, program = folder / f"encoder.{cfg.export}", Program(loaded).eval()
        atomic_write(path, lambda at: EXPORTS[cfg.export](program, at))
    log.info("%s", path)
    return path


@torch.no_grad()
def embeddings(loaded: Loaded) -> dict[str, np.ndarray]:
    """The arrays of embeddings.npz."""
    arrays, listing = {}, loaded.data.listing()
    for name, split in loaded.data.splits.items():
        chunks = (loaded.pairs.clean(batch) for batch in split.batches(CHUNK))
        rows = [(loaded.objective.features(x), loaded.objective.posterior(x).mean) for x in chunks]
        features, z = (torch.cat(side) for side in zip(*rows))
        tensors = {"features": features, "z": z, "y": split.y if (split.y >= 0).any() else None,
                   "factors": split.factors, "row": None if listing else split.row}  # fmt: skip
        arrays |= {f"{key}_{name}": t.cpu().numpy()
                   for key, t in tensors.items() if t is not None}  # fmt: skip
        if listing:
            arrays[f"name_{name}"] = np.array(listing[name], np.str_)
    return arrays


class Program(nn.Module):
    """The encoder with its preprocessing: x as in the data -> (features [N, F], the posterior's mean z [N, D])."""

    def __init__(self, loaded: Loaded):
        super().__init__()
        self.objective, self.pairs = loaded.objective, loaded.pairs
        self.example = next(loaded.data.train.rows(slice(0, 2)).batches(2)).x

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: uint8 images [N, C, H, W], or floats of the data's shape."""
        clean = self.pairs.clean(Split(x, y=NO_LABELS))
        return self.objective.features(clean), self.objective.posterior(clean).mean


def export_pt2(program: Program, path: Path) -> None:
    """A torch.export program, for any batch size; torch.export.load reads it without ssvae."""
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(program, (program.example,), dynamic_shapes=({0: batch},))
    with open(path, "wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights that share memory, which is intended
        torch.export.save(exported, file)


def export_onnx(program: Program, path: Path) -> None:
    """An ONNX model with input x and outputs features and z, for any batch size."""
    require_extra("onnx", "export=onnx", "onnxscript")
    batch = torch.export.Dim("batch", min=1)
    options = {"dynamo": True, "dynamic_shapes": ({0: batch},), "verbose": False}
    names = {"input_names": ["x"], "output_names": ["features", "z"]}
    torch.onnx.export(program, (program.example,), **options, **names).save(path)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz with exactly this name: numpy appends .npz to a path, but not to an open file."""
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


EXPORTS = {"pt2": export_pt2, "onnx": export_onnx}
