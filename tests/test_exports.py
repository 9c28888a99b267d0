"""The encoder as a program of torch.export: any number of samples, whatever the pairs and the encoder are; weights in
safetensors."""

import errno
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers import refused, ssvae
from ssvae_cli.datasets.base import Data, Split
from ssvae_cli.exports.program import Program, as_pt2
from ssvae_cli.files import write_safetensors
from ssvae_cli.load_run import load_run

BEGUN = ["trainer.epochs=0", "trainer.device=cpu", "trainer.batch_size=8", "evaluation=none", "encoder.latent_dim=4"]
BRANCHING = """
import torch
class Branching(torch.nn.Module):
    def __init__(self, *, shape):
        super().__init__()
        self.layer = torch.nn.Linear(*shape, 8)
    def forward(self, x):
        h = self.layer(x)
        return h.relu() if h.sum() > 0 else h
"""


def begun(shape: tuple[int, ...], *overrides: str) -> None:
    """RUN, of an untrained encoder for float data or images of 30 samples."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (30, *shape), np.uint8) if len(shape) == 3 else rng.normal(size=(30, *shape))
    np.savez("x.npz", x=x)
    assert ssvae("train", *BEGUN, "dataset.path=x.npz", *overrides, "hydra.run.dir=RUN") == 0


@pytest.mark.parametrize(
    "shape, overrides",
    {
        "an invertible encoder": ((4,), ["dataset=npz", "encoder=realnvp", "encoder.backbone.layers=1"]),
        "the last window of a series": ((9, 2), ["dataset=sequences", "pairs=context", "encoder.backbone.width=8"]),
        "the steps of a series": ((9, 2), ["dataset=sequences", "pairs=window"]),
        "the patches of an image": ((1, 8, 8), ["dataset=npz", "pairs=patches", "pairs.grid=2", "encoder=mlp"]),
    }.values(),
)
def test_a_program_reads_any_number_of_samples(shape, overrides, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begun(shape, *overrides)
    assert ssvae("embed", "RUN", "export=pt2", "device=cpu", "hydra.run.dir=out") == 0
    program, loaded = torch.export.load("out/encoder.pt2").module(), load_run("RUN", device="cpu", trust=False)
    for count in (1, 5):
        batch = loaded.data.train.rows(slice(0, count))
        with torch.no_grad():
            clean, (features, z) = loaded.pairs.clean(batch), program(batch.x)
            assert torch.allclose(features, loaded.objective.features(clean), atol=1e-5)
            assert torch.allclose(z, loaded.objective.posterior(clean).mean, atol=1e-5) and len(z) == count


def test_a_program_made_with_data_of_one_sample_reads_any_number():
    one = Split(torch.randn(1, 4), y=torch.zeros(1, dtype=torch.int64))
    parts = {
        "objective": SimpleNamespace(represented=lambda x: (x, 2 * x)),
        "pairs": SimpleNamespace(clean=lambda b: b.x),
    }
    loaded = SimpleNamespace(data=Data(one, one, one), **parts)
    program = torch.export.load(io.BytesIO(as_pt2(Program(loaded)))).module()
    assert [len(program(torch.randn(count, 4))[0]) for count in (1, 5)] == [1, 5]


def test_a_program_on_a_full_disk_is_the_line_of_any_other_file(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    begun((4,), "dataset=npz", "encoder=linear")

    def write(path: Path, data: bytes):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", write)
    line = refused(capfd, "embed", "RUN", "export=pt2", "device=cpu", "hydra.run.dir=out")
    assert "encoder.pt2" in line and line.endswith("cannot be written (No space left on device)")


def test_an_own_encoder_that_no_program_can_be_made_of_is_a_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "branching.py").write_text(BRANCHING)
    begun((4,), "dataset=npz", "encoder.backbone._target_=branching.Branching", "~encoder.backbone.hidden")
    line = refused(capfd, "embed", "RUN", "export=pt2", "device=cpu", "trust=true", "hydra.run.dir=out")
    assert line.startswith("ssvae: export=pt2: torch cannot make a program of this encoder (")
    assert "out/embed.log" in line and not list(tmp_path.glob("out/encoder*"))
    sys.modules.pop("branching")


def test_weights_that_share_memory_are_each_written(tmp_path):
    encoder = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    encoder[1].weight = encoder[0].weight
    write_safetensors(tmp_path / "encoder.safetensors", encoder.state_dict())
    assert torch.equal(load_file(tmp_path / "encoder.safetensors")["1.weight"], encoder[0].weight)
