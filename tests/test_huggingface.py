"""Data sets of Hugging Face on disk: images, classes and splits; what a data set does not have is one line."""

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import FILE_RUN, read_data, ssvae
from ssvae_cli.cli.suiting import suiting_overrides
from ssvae_cli.errors import UserError


def pictures(count: int = 30, seed: int = 0):
    """A data set of images of one colour, their classes, and vectors."""
    datasets = pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    rng = np.random.default_rng(seed)
    features = {"image": datasets.Image(), "animal": datasets.ClassLabel(names=["dog", "cat"])}
    features |= {"vector": datasets.Sequence(datasets.Value("float32")), "age": datasets.Value("int32")}
    rows = {"animal": rng.integers(0, 2, count), "vector": rng.normal(size=(count, 3)), "age": np.arange(count)}
    grey = [np.full((8, 8), 5 * age, np.uint8) for age in range(count)]
    rows["image"] = [Image.fromarray(pixels) for pixels in grey]
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def stored(kind: str, path):
    """The data set saved in one of the ways; the path to give."""
    data = pictures()
    if kind == "parquet file":
        data.to_parquet(path / "a.parquet")
        return path / "a.parquet"
    if kind == "parquet folder":
        (path / "data").mkdir()
        data.select(range(18)).to_parquet(path / "data" / "train-00000-of-00002.parquet")
        data.select(range(18, 24)).to_parquet(path / "data" / "train-00001-of-00002.parquet")
        data.select(range(24, 30)).to_parquet(path / "data" / "test-00000-of-00001.parquet")
        return path
    if kind == "dict":
        import datasets

        parts = {"test": range(24, 30), "validation": range(20, 24), "train": range(20)}
        data = datasets.DatasetDict({name: data.select(rows) for name, rows in parts.items()})
    data.save_to_disk(path / "saved")
    return next((path / "saved").glob("*.arrow")) if kind == "arrow file" else path / "saved"


STARTS = {"dict": {"validation": 20, "test": 24}, "parquet folder": {"test": 24}}  # of parts, in `pictures`


@pytest.mark.parametrize("kind", ("folder", "dict", "parquet file", "parquet folder", "arrow file"))
def test_a_data_set_of_hugging_face_is_images_classes_and_its_splits(tmp_path, kind):
    original, path = pictures(), stored(kind, tmp_path)
    data = read_data("huggingface", path, "channels=1", "factors=[age]", "workers=0")
    assert data.classes == ("dog", "cat") and data.shape == (1, 8, 8)
    assert kind not in STARTS or len(data.test) == 6
    for name, split in data.splits.items():
        ages = (split.x[:, 0, 0, 0] // 5).long()
        assert torch.equal(ages.float(), split.factors[:, 0])
        assert split.y.tolist() == np.array(original["animal"])[ages.numpy()].tolist()
        assert torch.equal(split.row, ages - STARTS.get(kind, {}).get(name, 0))
    assert sum(map(len, data.splits.values())) == 30
    vectors = read_data("huggingface", path, "image=null", "columns=[vector]", "standardise=false")
    assert vectors.fitted["columns"] == ["vector.0", "vector.1", "vector.2"]
    assert sum(map(len, vectors.splits.values())) == 30 and vectors.classes == ("dog", "cat")


WRONG_SETS = {
    "image=imge": "no column 'imge'; did you mean 'image'?",
    "label=animl": "did you mean 'animal'?",
    "columns=[agee]": "did you mean 'age'?",
    "factors=[agee]": "did you mean 'age'?",
    "image=age": "this column holds no images",
    "size=0": "size must lie between 1 and",
}


@pytest.mark.parametrize("override", WRONG_SETS)
def test_what_a_data_set_does_not_have_is_a_line(tmp_path, override):
    path = stored("folder", tmp_path)
    with pytest.raises(UserError) as error:
        read_data("huggingface", path, override)
    assert WRONG_SETS[override] in str(error.value) and "\n" not in str(error.value)


def test_a_folder_without_a_data_set_and_a_damaged_one_are_lines(tmp_path):
    pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    with pytest.raises(UserError, match="no data set; give a folder of save_to_disk"):
        read_data("huggingface", tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="cannot be read as a data set"):
        read_data("huggingface", tmp_path)


def test_vectors_of_hugging_face_bring_their_encoder_and_images_theirs(tmp_path):
    data = pictures()
    data.to_parquet(tmp_path / "images.parquet")
    data.remove_columns("image").to_parquet(tmp_path / "vectors.parquet")
    for name, expected in (("images", {}), ("vectors", {"encoder": "mlp", "pairs": "noise"})):
        given = ["dataset=huggingface", f"dataset.path={tmp_path}/{name}.parquet"]
        more = suiting_overrides("train", given)[2:]
        assert dict(override.split("=") for override in more) == expected


def test_a_data_set_of_hugging_face_trains_resumes_and_embeds(tmp_path):
    path, run = stored("folder", tmp_path), tmp_path / "run"
    own = ["dataset=huggingface", f"dataset.path={path}", "encoder.backbone.width=8", "dataset.workers=0"]
    assert ssvae("train", *own, *FILE_RUN, "trainer.batch_size=auto", f"hydra.run.dir={run}") == 0
    assert ssvae("train", f"resume={run}", "trainer.epochs=2") == 0
    pictures(20, seed=1).to_parquet(tmp_path / "other.parquet")
    out = f"hydra.run.dir={tmp_path}/out"
    assert ssvae("embed", str(run), "dataset=huggingface", f"dataset.path={tmp_path}/other.parquet", out) == 0
    arrays = np.load(tmp_path / "out" / "embeddings.npz")
    assert sum(len(arrays[f"row_{part}"]) for part in ("train", "validation", "test")) == 20
