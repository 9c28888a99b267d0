"""Data sets: read from the true on-disk formats, split the same way whatever the seed, bad files named in one line."""

import gzip
import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, STL10, SVHN

from helpers import SHARED
from ssvae_cli.datasets.base import Split, hold_out
from ssvae_cli.datasets.digits import digits
from ssvae_cli.datasets.folder import folder
from ssvae_cli.datasets.torchvision_sets import cifar10, cifar100, fashion_mnist, kmnist, mnist, stl10, svhn
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
@pytest.mark.parametrize("name, read", [("MNIST", mnist), ("FashionMNIST", fashion_mnist), ("KMNIST", kmnist)])
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
    assert [tuple(s.x.shape) for s in (data.train, data.validation, data.test)] == [
        (45, 3, 32, 32),
        (5, 3, 32, 32),
        (10, 3, 32, 32),
    ]
    stored = pickle.loads((cifar_root / CIFAR10.base_folder / "test_batch").read_bytes())["data"]
    assert torch.equal(data.test.x[3].flatten(), torch.from_numpy(stored[3]))


def test_cifar100_is_read_by_its_fine_labels(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        fine = rng.integers(0, 100, count).tolist()
        pixels = rng.integers(0, 256, (count, 3072), np.uint8)
        held = pickle.dumps({"data": pixels, "fine_labels": fine, "coarse_labels": [0] * count})
        file = write(tmp_path / CIFAR100.base_folder / part, held)
        monkeypatch.setattr(CIFAR100, f"{part}_list", [file])
    name, md5 = write(
        tmp_path / CIFAR100.base_folder / "meta", pickle.dumps({"fine_label_names": [f"kind{i}" for i in range(100)]})
    )
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
def test_stl10s_binaries_are_read_and_its_unlabelled_images_are_trained_on_where_asked(
    unlabelled, tmp_path, monkeypatch
):
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


def test_transparent_parts_are_white_and_palettes_are_colours(tmp_path):
    make_folder(tmp_path, kind="png")
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    clear.putpixel((0, 0), (255, 0, 0, 255))
    clear.save(tmp_path / "test" / "cat" / "0.png")
    Image.new("RGB", (8, 8), (0, 0, 255)).quantize(4).save(tmp_path / "test" / "cat" / "1.png")
    alpha, palette = read(tmp_path).test.x[:2]
    assert alpha[:, 0, 0].tolist() == [255, 0, 0] and alpha[:, 1:].min() == 255
    assert palette[:, 3, 3].tolist() == [0, 0, 255]


def test_one_image_a_class_is_enough_to_read(tmp_path):
    data = read(make_folder(tmp_path, classes=tuple("abc"), count=1), validation=1)
    assert [len(s) for s in data.splits.values()] == [2, 1, 3] and data.test.y.tolist() == [0, 1, 2]


def test_files_that_cannot_be_read_are_counted_or_skipped_with_a_word(tmp_path, caplog):
    make_folder(tmp_path)
    corrupt(tmp_path)
    path = tmp_path / "train" / "cat" / "4.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="2 of .* images cannot be read, the first: .*cat/3.jpg.*on_error=skip"):
        read(tmp_path, validation=1)
    data = read(tmp_path, validation=1, on_error="skip")
    assert len(data.train) + len(data.validation) == 10 and "skipped 2 of 11 images; the first: " in caplog.text
    for path in (tmp_path / "test").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="test/cat: none of the images can be read"):
        read(tmp_path, on_error="skip")


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


@pytest.mark.parametrize("read_set", [mnist, fashion_mnist, kmnist, cifar10, cifar100, svhn, stl10])
def test_a_set_that_is_not_there_says_how_to_have_it(read_set, tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="dataset.download=true") as error:
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


@pytest.mark.parametrize("validation", [0, 12, 10_000])
def test_a_validation_split_that_leaves_nothing_is_refused(validation, tmp_path):
    with pytest.raises(UserError, match="dataset.validation must lie between 1 and 11"):
        read(make_folder(tmp_path), validation=validation)
