"""torchvision's sets and digits: read from the true on-disk formats, and split the same way whatever the seed."""

import gzip
import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, STL10, SVHN

from helpers import SHARED
from ssvae_cli.datasets.digits import digits
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.splitting import by_draw
from ssvae_cli.datasets.torchvision_sets import cifar10, cifar100, fashion_mnist, kmnist, mnist, stl10, svhn
from ssvae_cli.errors import UserError


def test_digits_test_set_is_the_last_397_images_of_the_file():
    data = digits()
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [1200, 200, 397]
    assert data.shape == (1, 8, 8) and data.train.x.dtype == torch.uint8 and data.train.x.max() == 255


def test_a_held_out_split_is_the_same_whatever_the_seed():
    torch.manual_seed(1)
    first = by_draw(50, 10, "validation")
    torch.manual_seed(2)
    second = by_draw(50, 10, "validation")
    assert all(torch.equal(a, b) for a, b in zip(first, second)) and len(first[1]) == 10
    assert sorted(torch.cat(first).tolist()) == list(range(50))


def write_idx(path, array):
    """LeCun's idx format, gzipped: magic number, sizes, bytes."""
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb") as file:
        file.write(header + array.tobytes())


@pytest.mark.parametrize("unpacked", [True, False])
@pytest.mark.parametrize("name, read", [("MNIST", mnist), ("FashionMNIST", fashion_mnist), ("KMNIST", kmnist)])
def test_idx_files_are_read_unpacked_or_from_their_archives(name, read, unpacked, tmp_path):
    rng = np.random.default_rng(0)
    raw = tmp_path / name / "raw"
    images = {part: rng.integers(0, 256, (n, 28, 28), np.uint8) for part, n in {"train": 40, "t10k": 12}.items()}
    for part, x in images.items():
        write_idx(raw / f"{part}-images-idx3-ubyte.gz", x)
        write_idx(raw / f"{part}-labels-idx1-ubyte.gz", (np.arange(len(x)) % 10).astype(np.uint8))
    for path in raw.glob("*.gz") if unpacked else ():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    data = read(root=str(tmp_path), download=False, validation=8)
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [32, 8, 12]
    assert torch.equal(data.test.x[:, 0], torch.from_numpy(images["t10k"]))
    assert data.test.y.tolist() == [i % 10 for i in range(12)]


def write(path, data):
    """A file, and its name and md5: torchvision checks the published ones, so it is told these."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return [path.name, hashlib.md5(data).hexdigest()]


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """A small CIFAR-10 in its own pickles."""
    base = tmp_path / CIFAR10.base_folder
    rng = np.random.default_rng(0)

    def batch(n):
        return {"data": rng.integers(0, 256, (n, 3072), np.uint8), "labels": [i % 10 for i in range(n)]}

    def pickled(name, payload):
        return write(base / name, pickle.dumps(payload))

    monkeypatch.setattr(CIFAR10, "train_list", [pickled(f"data_batch_{i}", batch(10)) for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [pickled("test_batch", batch(10))])
    name, md5 = pickled("batches.meta", {"label_names": list("abcdefghij")})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    return tmp_path


def test_cifar_pickles_are_read_channels_first(cifar_root):
    data = cifar10(root=str(cifar_root), download=False, validation=5)
    assert [tuple(s.x.shape) for s in data.splits.values()] == [(n, 3, 32, 32) for n in (45, 5, 10)]
    stored = pickle.loads((cifar_root / CIFAR10.base_folder / "test_batch").read_bytes())["data"]
    assert torch.equal(data.test.x[3].flatten(), torch.from_numpy(stored[3]))


def same(streamed, resident):
    """Every split is a stream, and its batches are those of data in memory."""
    for split, held in zip(streamed.splits.values(), resident.splits.values()):
        assert isinstance(split, Streamed)
        for a, b in zip(split.batches(7), held.batches(7), strict=True):
            assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)


def test_what_exceeds_memory_gb_is_streamed(cifar_root):
    options = {"root": str(cifar_root), "download": False, "validation": 5, "limit": 30}
    same(cifar10(**options, memory_gb=0.0, workers=1), cifar10(**options))


def test_cifar100_is_read_by_its_fine_labels(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        fine = rng.integers(0, 100, count).tolist()
        pixels = rng.integers(0, 256, (count, 3072), np.uint8)
        held = pickle.dumps({"data": pixels, "fine_labels": fine, "coarse_labels": [0] * count})
        file = write(tmp_path / CIFAR100.base_folder / part, held)
        monkeypatch.setattr(CIFAR100, f"{part}_list", [file])
    names = pickle.dumps({"fine_label_names": [f"kind{i}" for i in range(100)]})
    name, md5 = write(tmp_path / CIFAR100.base_folder / "meta", names)
    monkeypatch.setattr(CIFAR100, "meta", {"filename": name, "key": "fine_label_names", "md5": md5})
    data = cifar100(root=str(tmp_path), download=False, validation=5)
    assert [len(s) for s in data.splits.values()] == [25, 5, 10] and data.shape == (3, 32, 32)
    assert data.classes[42] == "kind42" and data.test.y.tolist() == fine


def test_svhns_mat_files_are_read_channels_first_and_its_ten_is_a_nought(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    listed = dict(SVHN.split_list)
    for part, count in (("train", 20), ("test", 8)):
        path = tmp_path / f"{part}_32x32.mat"
        x, y = rng.integers(0, 256, (32, 32, 3, count), np.uint8), np.arange(count)[:, None] % 10 + 1
        savemat(path, {"X": x, "y": y})
        listed[part] = [SVHN.split_list[part][0], *write(path, path.read_bytes())]
    monkeypatch.setattr(SVHN, "split_list", listed)
    data = svhn(root=str(tmp_path), download=False, validation=4)
    assert [len(s) for s in data.splits.values()] == [16, 4, 8]
    assert torch.equal(data.test.x[3], torch.from_numpy(x[..., 3].transpose(2, 0, 1).copy()))
    assert data.test.y.tolist() == [1, 2, 3, 4, 5, 6, 7, 8] and 0 in data.train.y and 10 not in data.train.y


@pytest.mark.parametrize("unlabelled", [False, True])
def test_stl10s_binaries_are_read_and_unlabelled_images_trained_on_where_asked(unlabelled, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    base, stored = tmp_path / STL10.base_folder, {}

    def binary(part, count):
        stored[part] = rng.integers(0, 256, (count, 3, 96, 96), np.uint8)  # channel, column, row: as Matlab writes
        return write(base / f"{part}_X.bin", stored[part].tobytes())

    def labels(part, count):
        return write(base / f"{part}_y.bin", (np.arange(count) % 10 + 1).astype(np.uint8).tobytes())

    train = [binary("train", 20), labels("train", 20), binary("unlabeled", 7)]
    monkeypatch.setattr(STL10, "train_list", train)
    monkeypatch.setattr(STL10, "test_list", [binary("test", 10), labels("test", 10)])
    data = stl10(root=str(tmp_path), download=False, validation=5, unlabelled=unlabelled)
    assert [len(s) for s in data.splits.values()] == [22 if unlabelled else 15, 5, 10]
    assert torch.equal(data.test.x[2], torch.from_numpy(stored["test"][2].transpose(0, 2, 1).copy()))
    assert data.test.y.tolist() == list(range(10)) and (data.train.y == -1).sum() == (7 if unlabelled else 0)
    if unlabelled:
        assert torch.equal(data.train.x[-1], torch.from_numpy(stored["unlabeled"][-1].transpose(0, 2, 1).copy()))
    same(stl10(root=str(tmp_path), download=False, validation=5, unlabelled=unlabelled, memory_gb=0.0, workers=1), data)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="the shared data are not beside this checkout")
def test_the_real_mnist_is_read_whole():
    data = mnist(root=str(SHARED / "mnist"), download=False, validation=5000)
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [55_000, 5_000, 10_000]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("read_set", [mnist, fashion_mnist, kmnist, cifar10, cifar100, svhn, stl10])
def test_a_set_that_is_not_there_says_how_to_have_it(read_set, tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"\bdownload=true") as error:
            more = {"unlabelled": False} if read_set is stl10 else {}
            read_set(root=str(root), download=False, validation=10, **more)
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
