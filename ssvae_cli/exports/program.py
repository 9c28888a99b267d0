"""The encoder and its preprocessing as a program that needs no ssvae: torch.export, ONNX."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import require_extra
from ssvae_cli.files import atomic_write
from ssvae_cli.load_run import Loaded

NO_LABELS = torch.empty(0, dtype=torch.long)  # an encoder does not read labels


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


def write_pt2(program: Program, path: Path) -> None:
    """A torch.export program, for any batch size; torch.export.load reads it without ssvae."""
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(program, (program.example,), dynamic_shapes=({0: batch},))
    with open(path, "wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights that share memory, which is intended
        torch.export.save(exported, file)


def write_onnx(program: Program, path: Path) -> None:
    """An ONNX model with input x and outputs features and z, for any batch size."""
    batch = torch.export.Dim("batch", min=1)
    options = {"dynamo": True, "dynamic_shapes": ({0: batch},), "verbose": False}
    names = {"input_names": ["x"], "output_names": ["features", "z"]}
    torch.onnx.export(program, (program.example,), **options, **names).save(path)


def pt2(loaded: Loaded, run: Path, folder: Path) -> Path:
    """encoder.pt2, a torch.export program."""
    program = Program(loaded).eval()
    atomic_write(folder / "encoder.pt2", lambda path: write_pt2(program, path))
    return folder / "encoder.pt2"


def onnx(loaded: Loaded, run: Path, folder: Path) -> Path:
    """encoder.onnx. Raises UserError without the extra."""
    require_extra("onnx", "export=onnx", "onnxscript")
    program = Program(loaded).eval()
    atomic_write(folder / "encoder.onnx", lambda path: write_onnx(program, path))
    return folder / "encoder.onnx"
