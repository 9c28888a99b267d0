"""The encoder and its preprocessing as a program that needs no ssvae: torch.export, ONNX."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ssvae_cli.datasets.base import Split
from ssvae_cli.errors import PartError, first_line, machine_error, require_extra
from ssvae_cli.files import atomic_write
from ssvae_cli.load_run import Loaded

NO_LABELS = torch.empty(0, dtype=torch.long)  # an encoder does not read labels


class Program(nn.Module):
    """The encoder with its preprocessing: x as in the data -> (features [N, F], the posterior's mean z [N, D]).

    What it runs reads the number of samples from x.shape: len(x) would be a constant of the exported program."""

    def __init__(self, loaded: Loaded):
        super().__init__()
        self.objective, self.pairs = loaded.objective, loaded.pairs
        twice = torch.zeros(2, dtype=torch.int64)  # a sample, two of them: of one torch takes the number for a constant
        self.example = next(loaded.data.train.rows(twice).batches(2)).x

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: uint8 images [N, C, H, W], or floats of the data's shape."""
        clean = self.pairs.clean(Split(x, y=NO_LABELS))
        return self.objective.represented(clean)


@contextlib.contextmanager
def tracing(export: str) -> Iterator[None]:
    """Raise PartError for an encoder, or pairs, of which torch can make no program, as where code depends on values.

    What torch prints of its graphs, and its warnings of weights that share memory, are not for the user."""
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        if machine_error(error) is not error:
            raise
        reason = first_line(error)
        raise PartError(f"export={export}: torch cannot make a program of this encoder ({reason})") from error


def as_pt2(program: Program) -> bytes:
    """A torch.export program, for any batch size; torch.export.load reads it without ssvae."""
    batch, buffer = torch.export.Dim("batch", min=1), io.BytesIO()
    exported = torch.export.export(program, (program.example,), dynamic_shapes=({0: batch},))
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def as_onnx(program: Program) -> "torch.onnx.ONNXProgram":
    """An ONNX model with input x and outputs features and z, for any batch size."""
    batch = torch.export.Dim("batch", min=1)
    options = {"dynamo": True, "dynamic_shapes": ({0: batch},), "verbose": False}
    names = {"input_names": ["x"], "output_names": ["features", "z"]}
    return torch.onnx.export(program, (program.example,), **options, **names)


def pt2(loaded: Loaded, run: Path, folder: Path) -> Path:
    """encoder.pt2, a torch.export program."""
    with tracing("pt2"):
        exported = as_pt2(Program(loaded).eval())
    atomic_write(folder / "encoder.pt2", lambda path: path.write_bytes(exported))
    return folder / "encoder.pt2"


def onnx(loaded: Loaded, run: Path, folder: Path) -> Path:
    """encoder.onnx. Raises UserError without the extra."""
    require_extra("onnx", "export=onnx", "onnxscript")
    with tracing("onnx"):
        exported = as_onnx(Program(loaded).eval())
    atomic_write(folder / "encoder.onnx", exported.save)
    return folder / "encoder.onnx"
