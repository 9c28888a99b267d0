"""`ssvae embed`: the trained encoder's features as arrays, and the encoder for programs that know no ssvae."""

import itertools
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import composed, refused, ssvae, train
from ssvae_cli.datasets import Split
from ssvae_cli.instantiate.build import build
from ssvae_cli.load_run import load_run
from ssvae_cli.pairs.base import make_pairs
from ssvae_cli.training import checkpoint

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "gaussian"
    train(run, "posterior=gaussian", "trainer.epochs=1")
    return run


@pytest.fixture(scope="module")
def loaded(run):
    return load_run(str(run), device="cpu", trust=False)


def test_the_arrays_are_the_trained_encoders_features_and_means(run, loaded, tmp_path):
    assert ssvae("embed", f"run={run}", f"hydra.run.dir={tmp_path}") == 0
    arrays = np.load(tmp_path / "embeddings.npz", allow_pickle=False)
    assert {f"{k}_{s}" for k in ("features", "z", "y") for s in SPLITS} == set(arrays.files)
    test = loaded.data.test
    with torch.no_grad():
        x = loaded.pairs.clean(test)
        mean = loaded.objective.encoder(x).mean
        features = loaded.objective.encoder.features(x)
    assert np.allclose(arrays["features_test"], features, atol=1e-5)
    assert np.allclose(arrays["z_test"], mean, atol=1e-5)
    assert (arrays["y_test"] == test.y.numpy()).all()


def test_other_data_of_the_same_shape_are_embedded_and_of_another_shape_refused(run, tmp_path, capfd):
    rng = np.random.default_rng(0)
    for name, side in {"same": 8, "other": 9}.items():
        np.savez(tmp_path / f"{name}.npz", x=rng.integers(0, 256, (30, side, side), np.uint8))
    out = f"hydra.run.dir={tmp_path}/out"
    assert ssvae("embed", f"run={run}", "dataset=npz", f"dataset.path={tmp_path}/same.npz", out) == 0
    arrays = np.load(tmp_path / "out" / "embeddings.npz")
    assert sum(len(arrays[f"z_{s}"]) for s in SPLITS) == 30 and "y_test" not in arrays
    line = refused(capfd, "embed", f"run={run}", "dataset=npz", f"dataset.path={tmp_path}/other.npz")
    assert "one x is [1, 9, 9], and the run was trained on [1, 8, 8]" in line


@pytest.mark.parametrize("kind", ["integers", "words"])
def test_labels_come_back_as_the_file_has_them(kind, run, tmp_path):
    rng = np.random.default_rng(0)
    y = np.array([-1, 3, 10**12] if kind == "integers" else ["", "cat", "07"])[rng.integers(3, size=30)]
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 256, (30, 8, 8), np.uint8), y=y)
    out = f"hydra.run.dir={tmp_path}/out"
    assert ssvae("embed", f"run={run}", "dataset=npz", f"dataset.path={tmp_path}/x.npz", out) == 0
    arrays = np.load(tmp_path / "out" / "embeddings.npz")
    for part in SPLITS:
        labels = arrays[f"y_{part}"]
        words = labels if kind == "integers" else np.array([*arrays["classes"], ""])[labels]  # -1 is the last
        assert (words == y[arrays[f"row_{part}"]]).all()


READ = ["latents", "gaussian", "sprites", "balls", "digits", "digits pairs=supervised", "digits pairs=halves"]


@pytest.mark.parametrize("choice", READ)
def test_pairs_of_a_run_read_other_data_without_what_they_take_of_their_own(choice):
    name, *settings = f"dataset={choice}".split()
    small = [] if name == "dataset=digits" else [f"dataset.{key}=8" for key in ("train", "validation", "test")]
    config = composed(name, *settings, *small)
    data = build(config.dataset, "dataset")
    own, other = make_pairs(config.pairs, data), build(config.pairs, "pairs")
    batch = next(data.test.batches(4))
    assert own.shapes(data) == other.shapes(data) and torch.equal(own.clean(batch), other.clean(batch))


@pytest.mark.parametrize("memory_gb", [4, 0], ids=["held", "streamed"])
def test_the_rows_of_a_file_come_back_with_their_features(memory_gb, run, loaded, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8)
    np.savez(tmp_path / "own.npz", x=x)
    own = ["dataset=npz", f"dataset.path={tmp_path}/own.npz", f"dataset.memory_gb={memory_gb}", "dataset.workers=0"]
    assert ssvae("embed", f"run={run}", *own, f"hydra.run.dir={tmp_path}/out") == 0
    arrays = np.load(tmp_path / "out" / "embeddings.npz")
    rows, z = (np.concatenate([arrays[f"{key}_{s}"] for s in SPLITS]) for key in ("row", "z"))
    assert sorted(rows) == list(range(30)) != list(rows)
    with torch.no_grad():
        clean = loaded.pairs.clean(Split(torch.from_numpy(x[rows])[:, None], torch.full((30,), -1)))
        assert np.allclose(z, loaded.objective.encoder(clean).mean, atol=1e-5)


def test_an_unfinished_run_is_embedded_with_a_warning_of_how_far_it_came(run, tmp_path, capfd):
    unfinished = shutil.copytree(run, tmp_path / "run")
    state = checkpoint.load(unfinished)
    checkpoint.save(unfinished, state | {"config": state["config"].replace("epochs: 1\n", "epochs: 7\n")})
    for folder in (unfinished, run):
        capfd.readouterr()
        assert ssvae("embed", f"run={folder}", f"hydra.run.dir={tmp_path}/{folder.name}_out") == 0
        said = f"{folder} is unfinished: after epoch 1 of 7" in capfd.readouterr().err
        assert said == (folder is unfinished)


def printed_code(imported: str) -> str:
    """The code that docs/encoders.md shows for the encoder in other programs, by the first line of its block."""
    section = (
        (Path(__file__).parents[1] / "docs" / "encoders.md").read_text().split("## The encoder in other programs")[1]
    )
    block = section[section.index(f"    import {imported}\n") :]
    lines = itertools.takewhile(lambda line: line.startswith("    ") or not line, block.splitlines())
    return textwrap.dedent("\n".join(lines))


@pytest.mark.parametrize("kind, module, atol", [("pt2", "torch", 1e-5), ("onnx", "onnxruntime", 1e-4)])
def test_an_exported_encoder_takes_raw_bytes_of_any_batch_size(kind, module, atol, run, loaded, tmp_path, monkeypatch):
    pytest.importorskip(module, reason="the extra `onnx` and onnxruntime are not installed")
    assert ssvae("embed", f"run={run}", f"export={kind}", f"hydra.run.dir={tmp_path}") == 0
    monkeypatch.chdir(tmp_path)
    for count in (1, 5):
        batch = loaded.data.test.rows(slice(0, count))
        names = {"x": batch.x}
        exec(printed_code(module), names)
        with torch.no_grad():
            clean = loaded.pairs.clean(batch)
            expected = loaded.objective.features(clean), loaded.objective.posterior(clean).mean
        for got, want in zip((names["features"], names["z"]), expected):
            assert tuple(got.shape) == want.shape and torch.allclose(torch.as_tensor(got), want, atol=atol)


def test_the_plain_model_of_torchvision_loads_the_weights_strictly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    few = ["dataset=npz", "dataset.path=x.npz", "trainer.epochs=0", "trainer.device=cpu"]
    model = ["encoder=torchvision", "encoder.backbone.name=resnet18", "encoder.projector=[]"]
    assert ssvae("train", *few, *model, "hydra.run.dir=RUN") == 0
    names = {}
    exec(printed_code("torch, torchvision"), names)
    loaded = load_run("RUN", device="cpu", trust=False)
    clean = loaded.pairs.clean(loaded.data.test.rows(slice(0, 3)))
    with torch.no_grad():
        features = names["model"].eval()(clean.expand(-1, 3, -1, -1))
        assert torch.allclose(features, loaded.objective.features(clean), atol=1e-5)


def test_onnx_without_its_packages_says_what_to_install(run, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "ssvae[onnx]" in refused(capfd, "embed", f"run={run}", "export=onnx", f"hydra.run.dir={tmp_path}/out")


@pytest.mark.parametrize(
    "overrides, said",
    {
        "none given": ([], "run has no default"),
        "nowhere": (["run=nowhere"], "run=nowhere: no such folder"),
        "no run": (["run=."], "no checkpoint there"),
        "another format": (["run={run}", "export=onxx"], "did you mean 'onnx'"),
        "no GPU": (["run={run}", "device=cuda"], "no GPU was found"),
    }.values(),
)
def test_bad_input_is_one_line(overrides, said, run, tmp_path, monkeypatch, capfd):
    if torch.cuda.is_available() and "device=cuda" in overrides:
        pytest.skip("there is a GPU")
    monkeypatch.chdir(tmp_path)
    assert said in refused(capfd, "embed", *(o.format(run=run) for o in overrides))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
