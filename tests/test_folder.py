"""A folder of images: read as a viewer shows them, bad files counted, everything else refused in a line."""

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import make_folder
from ssvae_cli.datasets.folder import folder
from ssvae_cli.errors import UserError


def read(root, **options):
    return folder(**({"root": str(root), "size": None, "channels": 3, "validation": 2} | options))


def test_a_folder_is_read_class_by_class(tmp_path):
    data = read(make_folder(tmp_path))
    assert data.classes == ("cat", "dog") and data.shape == (3, 8, 8)
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [10, 2, 12]
    stored = np.asarray(Image.open(tmp_path / "test" / "dog" / "2.png"))
    assert torch.equal(data.test.x[8].permute(1, 2, 0), torch.from_numpy(stored.copy()))
    assert data.test.y.tolist() == [0] * 6 + [1] * 6


def test_grey_images_become_colour_and_colour_grey_as_asked(tmp_path):
    grey = read(make_folder(tmp_path / "a", mode="L", kind="jpg"))
    assert torch.equal(grey.train.x[:, 0], grey.train.x[:, 1])
    assert read(make_folder(tmp_path / "b", kind="jpg"), channels=1).shape == (1, 8, 8)


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path):
    make_folder(tmp_path)
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "test" / "cat" / "0.png")
    x = read(tmp_path, channels=1).test.x[0, 0]
    assert x.max() == 255 and abs(x.float().mean().item() - 127) < 3


def test_transparent_parts_are_white_and_palettes_are_colours(tmp_path):
    make_folder(tmp_path)
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    clear.putpixel((0, 0), (255, 0, 0, 255))
    clear.save(tmp_path / "test" / "cat" / "0.png")
    Image.new("RGB", (8, 8), (0, 0, 255)).quantize(4).save(tmp_path / "test" / "cat" / "1.png")
    alpha, palette = read(tmp_path).test.x[:2]
    assert alpha[:, 0, 0].tolist() == [255, 0, 0] and alpha[:, 1:].min() == 255
    assert palette[:, 3, 3].tolist() == [0, 0, 255]


def test_one_image_a_class_is_enough_to_read(tmp_path):
    data = read(make_folder(tmp_path, classes=tuple("abc"), count=1, kind="jpg"), validation=1)
    assert [len(s) for s in data.splits.values()] == [2, 1, 3] and data.test.y.tolist() == [0, 1, 2]


def test_files_that_memory_cannot_hold_are_not_skipped(tmp_path, monkeypatch):
    make_folder(tmp_path)

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr("ssvae_cli.datasets.io.images._as_pixels", full)
    with pytest.raises(MemoryError):
        read(tmp_path, on_error="skip")


def test_files_that_cannot_be_read_are_counted_or_skipped_with_a_word(tmp_path, caplog):
    make_folder(tmp_path, kind="jpg")
    corrupt(tmp_path)
    path = tmp_path / "train" / "cat" / "4.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="2 of 11 images for train cannot .*cat/3.jpg.*on_error=skip"):
        read(tmp_path, validation=1)
    data = read(tmp_path, validation=1, on_error="skip")
    assert (
        len(data.train) + len(data.validation) == 10 and "skipped 2 of 11 images for train; the first: " in caplog.text
    )
    for path in (tmp_path / "test").rglob("*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="test/cat: no image for test can be read, of 12"):
        read(tmp_path, on_error="skip")


def test_images_of_mixed_sizes_are_resized_to_size(tmp_path):
    make_folder(tmp_path, parts=("train",), size=(12, 9), kind="jpg")
    make_folder(tmp_path, parts=("test",), size=(7, 20), kind="jpg")
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


def empty_test(root):
    for path in (root / "test").rglob("*.jpg"):
        path.unlink()
    for path in (root / "test").iterdir():
        path.rmdir()
    return "test: no images"


def no_train(root):
    (root / "train").rename(root / "photos")
    return "it holds test/ but no train/"


def strange_class(root):
    (root / "test" / "cow").mkdir()
    return "train has no such class; allowed: cat, dog"


def mixed_sizes(root):
    Image.new("RGB", (9, 8)).save(root / "train" / "dog" / "0.jpg")
    return "give size"


def other_size_in_test(root):
    for path in (root / "test").rglob("*.jpg"):
        Image.new("RGB", (9, 9)).save(path)
    return "give size"


def bomb(root):
    Image.new("L", (20_000, 10_000)).save(root / "train" / "cat" / "0.jpg")
    return "0.jpg: cannot be read"


@pytest.mark.parametrize(
    "spoil",
    [corrupt, truncate, empty_class, empty_test, no_train, strange_class, mixed_sizes, other_size_in_test, bomb],
    ids=lambda f: f.__name__,
)
def test_a_bad_folder_is_refused_in_a_line_that_names_the_place(spoil, tmp_path):
    said = spoil(make_folder(tmp_path, kind="jpg"))
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert said in str(error.value) and str(tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("validation", [0, 12, 10_000])
def test_a_validation_split_that_leaves_nothing_is_refused(validation, tmp_path):
    with pytest.raises(UserError, match="^validation must lie between 1 and 11"):
        read(make_folder(tmp_path, kind="jpg"), validation=validation)
