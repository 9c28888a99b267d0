"""How far a run's exported encoder is from the encoder: python exports.py RUN. Needs the extra `onnx` and onnxruntime.

The largest absolute difference of features and of z on the clean x of test, beside the largest absolute value.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import onnxruntime
import torch

from ssvae_cli.load_run import load_run


def main() -> None:
    run = sys.argv[1]
    loaded = load_run(run, device="cpu", trust=False)
    batch = loaded.data.test.rows(slice(0, 512))
    clean = loaded.pairs.clean(batch)
    with torch.no_grad():
        expected = loaded.objective.features(clean), loaded.objective.posterior(clean).mean
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("pt2", "onnx"):
            words = ["embed", run, f"export={kind}", f"hydra.run.dir={folder}/{kind}"]
            subprocess.run([sys.executable, "-m", "ssvae_cli", *words], check=True, capture_output=True)
        with torch.no_grad():
            of_torch = torch.export.load(str(Path(folder, "pt2", "encoder.pt2"))).module()(batch.x)
        session = onnxruntime.InferenceSession(str(Path(folder, "onnx", "encoder.onnx")))
        of_onnx = session.run(["features", "z"], {"x": batch.x.numpy()})
    for kind, found in (("pt2", of_torch), ("onnx", of_onnx)):
        for name, got, want in zip(("features", "z"), found, expected):
            difference = (torch.as_tensor(got) - want).abs().max().item()
            print(f"{kind:<5} {name:<9} {difference:.1e} of at most {want.abs().max().item():.2f}, {len(want)} samples")


if __name__ == "__main__":
    main()
