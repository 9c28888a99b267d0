"""Data sets: read from the true on-disk formats, split the same way whatever the seed, bad files named in one line."""

import gzip
import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10

from helpers import SHARED
from ssvae_cli.datasets.base import Split, hold_out
from ssvae_cli.datasets.digits import digits
from ssvae_cli.datasets.folder import folder
from ssvae_cli.datasets.torchvision_sets import cifar10, fashion_mnist, mnist
from ssvae_cli.errors import UserError


def test_digits_test_set_is_the_last_397_images_of_the_file():
    data = digits()
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [1200, 200, 397]
    assert data.shape == (1, 8, 8) and data.train.x.dtype == torch.uint8 and data.train.x.max() == 255


def test_a_held_out_split_is_the_same_whatever_the_seed():
    split = Split(torch.arange(50).view(50, 1, 1, 1), torch.arange(50))
    torch.manual_seed(1)
    first = hold_out(split, 10)
    torch.manual_seed(2)
    second = hold_out(split, 10)
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, second))
    assert sorted(torch.cat([first[0].y, first[1].y]).tolist()) == list(range(50))


def write_idx(path, array):
    """LeCun's idx format, gzipped: magic number, sizes, bytes."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb") as file:
        file.write(header + array.tobytes())


@pytest.mark.parametrize("unpacked", [True, False])
@pytest.mark.parametrize("name, read", [("MNIST", mnist), ("FashionMNIST", fashion_mnist)])
def test_idx_files_are_read_unpacked_or_from_their_archives(name, read, unpacked, tmp_path):
    rng = np.random.default_rng(0)
    raw = tmp_path / name / "raw"
    images = {
        "train": rng.integers(0, 256, (40, 28, 28), np.uint8),
        "t10k": rng.integers(0, 256, (12, 28, 28), np.uint8),
    }
    for part, x in images.items():
        write_idx(raw / f"{part}-images-idx3-ubyte.gz", x)
        write_idx(raw / f"{part}-labels-idx1-ubyte.gz", (np.arange(len(x)) % 10).astype(np.uint8))
    for path in raw.glob("*.gz") if unpacked else ():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    data = read(root=str(tmp_path), download=False, validation=8)
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [32, 8, 12]
    assert torch.equal(data.test.x[:, 0], torch.from_numpy(images["t10k"]))
    assert data.test.y.tolist() == [i % 10 for i in range(12)]


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """A small CIFAR-10 in its own pickles; torchvision checks their md5, so it is told theirs."""
    base = tmp_path / CIFAR10.base_folder
    base.mkdir()
    rng = np.random.default_rng(0)

    def write(name, payload):
        data = pickle.dumps(payload)
        (base / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    def batch(n):
        return {"data": rng.integers(0, 256, (n, 3072), np.uint8), "labels": [i % 10 for i in range(n)]}

    monkeypatch.setattr(CIFAR10, "train_list", [write(f"data_batch_{i}", batch(10)) for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch(10))])
    name, md5 = write("batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return tmp_path


def test_cifar_pickles_are_read_channels_first(cifar_root):
    data = cifar10(root=str(cifar_root), download=False, validation=5)
    assert [tuple(s.x.shape) for s in (data.train, data.validation, data.test)] == [
        (45, 3, 32, 32),
        (5, 3, 32, 32),
        (10, 3, 32, 32),
    ]
    stored = pickle.loads((cifar_root / CIFAR10.base_folder / "test_batch").read_bytes())["data"]
    assert torch.equal(data.test.x[3].flatten(), torch.from_numpy(stored[3]))


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the shared data are not beside this checkout")
def test_the_real_mnist_is_read_whole():
    data = mnist(root=str(SHARED / "mnist"), download=False, validation=5000)
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [55_000, 5_000, 10_000]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]


def make_folder(root, classes=("cat", "dog"), parts=("train", "test"), count=6, size=(8, 8), mode="RGB", kind="jpg"):
    """A folder-per-class tree of small random images."""
    rng = np.random.default_rng(0)
    for part in parts:
        for name in classes:
            (root / part / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / part / name / f"{i}.{kind}")
    return root


def read(root, **options):
    return folder(**({"root": str(root), "size": None, "channels": 3, "validation": 2} | options))


def test_a_folder_is_read_class_by_class(tmp_path):
    data = read(make_folder(tmp_path, kind="png"))
    assert data.classes == ("cat", "dog") and data.shape == (3, 8, 8)
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [10, 2, 12]
    stored = np.asarray(Image.open(tmp_path / "test" / "dog" / "2.png"))
    assert torch.equal(data.test.x[8].permute(1, 2, 0), torch.from_numpy(stored.copy()))
    assert data.test.y.tolist() == [0] * 6 + [1] * 6


def test_grey_images_become_colour_and_colour_grey_as_asked(tmp_path):
    grey = read(make_folder(tmp_path / "a", mode="L"))
    assert torch.equal(grey.train.x[:, 0], grey.train.x[:, 1])
    assert read(make_folder(tmp_path / "b"), channels=1).shape == (1, 8, 8)


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path):
    make_folder(tmp_path, kind="png")
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "test" / "cat" / "0.png")
    x = read(tmp_path, channels=1).test.x[0, 0]
    assert x.max() == 255 and abs(x.float().mean().item() - 127) < 3


def test_images_of_mixed_sizes_are_made_alike_by_size(tmp_path):
    make_folder(tmp_path, parts=("train",), size=(12, 9))
    make_folder(tmp_path, parts=("test",), size=(7, 20))
    assert read(tmp_path, size=6).shape == (3, 6, 6)


def corrupt(root):
    (root / "train" / "cat" / "3.jpg").write_bytes(b"no image at all")
    return "3.jpg: cannot be read"


def truncate(root):
    path = root / "test" / "dog" / "1.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    return "1.jpg: cannot be read"


def empty_class(root):
    for path in (root / "train").rglob("*.jpg"):
        path.unlink()
    return "no images"


def no_classes(root):
    for path in (root / "test").rglob("*.jpg"):
        path.unlink()
    for path in (root / "test").iterdir():
        path.rmdir()
    return "no classes"


def no_test(root):
    no_classes(root)
    (root / "test").rmdir()
    return "test: no such folder"


def strange_class(root):
    (root / "test" / "cow").mkdir()
    return "train has no such class; allowed: cat, dog"


def mixed_sizes(root):
    Image.new("RGB", (9, 8)).save(root / "train" / "dog" / "0.jpg")
    return "give dataset.size"


def other_size_in_test(root):
    for path in (root / "test").rglob("*.jpg"):
        Image.new("RGB", (9, 9)).save(path)
    return "give dataset.size"


def bomb(root):
    Image.new("L", (20_000, 10_000)).save(root / "train" / "cat" / "0.jpg")
    return "0.jpg: cannot be read"


@pytest.mark.parametrize(
    "spoil",
    [corrupt, truncate, empty_class, no_classes, no_test, strange_class, mixed_sizes, other_size_in_test, bomb],
    ids=lambda f: f.__name__,
)
def test_a_bad_folder_is_refused_in_a_line_that_names_the_place(spoil, tmp_path):
    said = spoil(make_folder(tmp_path))
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert said in str(error.value) and str(tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("read_set", [mnist, fashion_mnist, cifar10])
def test_a_set_that_is_not_there_says_how_to_have_it(read_set, tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="dataset.download=true") as error:
            read_set(root=str(root), download=False, validation=10)
        assert "\n" not in str(error.value)


def test_a_damaged_archive_is_refused_in_a_line(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    for part in ("train", "t10k"):
        write_idx(raw / f"{part}-images-idx3-ubyte.gz", np.zeros((4, 28, 28), np.uint8))
        write_idx(raw / f"{part}-labels-idx1-ubyte.gz", np.zeros(4, np.uint8))
    archive = raw / "train-images-idx3-ubyte.gz"
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(UserError, match="train-images-idx3-ubyte.gz: damaged archive"):
        mnist(root=str(tmp_path), download=False, validation=10)


@pytest.mark.parametrize("validation", [0, 12, 10_000])
def test_a_validation_split_that_leaves_nothing_is_refused(validation, tmp_path):
    with pytest.raises(UserError, match="dataset.validation must lie between 1 and 11"):
        read(make_folder(tmp_path), validation=validation)
