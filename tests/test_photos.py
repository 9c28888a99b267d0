"""Photos without labels: every layout of a folder trains, splits are stable, any mode is read as a viewer shows it."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from helpers import refused, ssvae
from ssvae_cli.datasets.folder import folder
from ssvae_cli.datasets.io.images import image_paths, read_image
from ssvae_cli.datasets.io.modes import as_shown
from ssvae_cli.errors import UserError
from ssvae_cli.trainer import SmallBatches, Trainer

RNG = np.random.default_rng(0)
FEW = ["trainer.epochs=1", "trainer.device=cpu", "encoder.backbone.width=4"]


def put(root, *names, size=(8, 8)):
    """Random images of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(root / name)
    return root


def read(root, **options):
    return folder(root=str(root), **({"size": "auto", "channels": 3} | options))


def several(*folders, count=10):
    return [f"{name}/{i}.png" for name in folders for i in range(count)]


CLASSES = ("cat", "dog")
LAYOUTS = {  # name -> (images, classes, sizes of the splits that the user gave)
    "flat": (several("."), (), {}),
    "train alone": (several("train"), (), {}),
    "train and test": (several("train", "test"), (), {"test": 10}),
    "by year": (several("2019", "2020-05 Rome"), (), {}),
    "by camera": (several("100CANON", "101CANON"), (), {}),
    "nested": (several("trip/day1", "trip/day2", "home/may"), (), {}),
    "some in no folder": (several("cat", "dog", "."), (), {}),
    "one folder": (several("cat"), (), {}),
    "classes": (several("cat", "dog"), CLASSES, {}),
    "classes with folders in them": (several("cat", "cat/more", "dog"), CLASSES, {}),
    "classes of train": (several("train/cat", "train/dog"), CLASSES, {}),
    "classes of train, test without": (several("train/cat", "train/dog", "test"), CLASSES, {"test": 10}),
    "classes of all": (
        several(*(f"{p}/{c}" for p in ("Train", "test", "val") for c in CLASSES)),
        CLASSES,
        {"train": 20, "test": 20, "validation": 20},
    ),
    "years of train and of test": (several("train/2019", "train/2020", "test/2021"), (), {"test": 10}),
    "a class called train": (several("bus", "train"), ("bus", "train"), {}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_is_read_in_every_layout(name, tmp_path):
    names, classes, given = LAYOUTS[name]
    data = read(put(tmp_path, *names))
    assert data.classes == classes and bool((data.train.y >= 0).all()) == (classes != ())
    assert sum(map(len, data.splits.values())) == len(names)
    assert all(len(data.splits[part]) == count for part, count in given.items())
    assert all(len(split) >= 1 for split in data.splits.values())
    for part, paths in data.listing().items():
        for path, label in zip(paths, data.splits[part].y.tolist(), strict=True):
            assert label < 0 or classes[label] in path.split("/")


def test_classes_are_taken_from_folders_or_left_as_asked(tmp_path):
    put(tmp_path, *several("2019", "2020"))
    assert read(tmp_path, classes="folders").classes == ("2019", "2020")
    put(tmp_path / "other", *several("cat", "dog"))
    assert read(tmp_path / "other", classes="none").classes == ()
    with pytest.raises(UserError, match="classes=folders: .* holds no folders of images"):
        read(put(tmp_path / "flat", *several(".")), classes="folders")


def test_a_photo_keeps_its_side_when_others_are_added(tmp_path):
    names = [f"IMG_{i}.png" for i in range(120)]
    before = read(put(tmp_path, *names[:60])).listing()
    after = read(put(tmp_path, *names[60:])).listing()
    assert all(set(before[part]) <= set(after[part]) for part in before)
    assert sum(map(len, after.values())) == 120 and 4 <= len(after["test"]) <= 22
    larger = read(tmp_path, test=0.3).listing()
    assert set(after["test"]) < set(larger["test"]) and len(read(tmp_path, test=7).test) == 7


def test_links_are_followed_once_and_what_is_no_image_is_counted(tmp_path):
    root = put(tmp_path / "photos", *several("."))
    put(tmp_path / "elsewhere", *several("deep"))
    os.symlink(tmp_path / "elsewhere", root / "more")
    os.symlink(root, root / "more" / "deep" / "back")
    os.symlink(tmp_path / "elsewhere" / "deep", root / "again")
    for name in (".hidden.png", "clip.mov", "list.txt"):
        (root / name).write_bytes(b"")
    paths, note = image_paths(root)
    assert len(paths) == len({path.resolve() for path in paths}) == 20
    assert "1 hidden" in note and "1 .mov" in note and "1 .txt" in note


@pytest.mark.parametrize(
    "sizes, shape", [([(8, 8), (8, 8)], (8, 8)), ([(90, 70), (100, 80)], (64, 64)), ([(20, 9), (9, 20)], (9, 9))]
)
def test_mixed_sizes_are_resized_with_a_note(sizes, shape, tmp_path):
    for i, size in enumerate(sizes):
        put(tmp_path, *(f"{i}{j}.png" for j in range(3)), size=size)
    data = read(tmp_path)
    assert data.shape == (3, *shape) and any("are resized to" in note for note in data.notes) == (len(set(sizes)) > 1)


MODES = "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B".split()


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode_is_read_as_a_viewer_shows_it(mode, tmp_path):
    """Pictures of one grey level, from a TIFF where it can store the mode."""
    level = 255 if mode == "1" else 120
    ways = {"La": "LA", "RGBa": "RGBA", "I;16": "I", "I;16B": "I"}
    image = Image.new("RGB", (8, 8), (level,) * 3).convert("L" if mode in ("I", "F") else "RGB")
    if mode in ("I;16", "I;16B"):
        image = Image.fromarray(np.full((8, 8), 120 * 257, np.uint16))
    if mode in ("P", "PA"):  # with a palette of the picture's own colours
        image = image.quantize(4)
    image = (image.convert(ways[mode]) if mode in ways else image).convert(mode)
    path = tmp_path / "0.tiff"
    try:
        image.save(path)
        shown = [read_image(path, None, channels) for channels in (1, 3)]
    except (OSError, KeyError):
        shown = [np.asarray(as_shown(image, "", kind)) for kind in ("L", "RGB")]
    assert all(abs(pixels.astype(int) - level).max() <= 2 for pixels in shown)
    assert image.mode == mode


def test_a_transparent_colour_is_white_at_every_depth(tmp_path):
    for depth, dtype, scale in ((8, np.uint8, 1), (16, np.uint16, 257)):
        grey = (np.arange(64).reshape(8, 8) * 4 * scale).astype(dtype)
        path = tmp_path / f"{depth}.png"
        Image.fromarray(grey).save(path, transparency=0)
        pixels = read_image(path, None, 1)[0]
        assert pixels[0, 0] == 255 and (pixels.flatten()[1:] == np.arange(1, 64) * 4).all()


def test_a_batch_that_nobody_asked_for_fits_the_data():
    settings = dict(epochs=1, microbatch=None, eval_every=1, device="cpu", precision="float32", compile=False)
    auto = Trainer(batch_size="auto", **settings)
    assert [auto.distinct_batch_of(n, 1) for n in (2, 243, 5000)] == [2, 243, 256]
    assert "243, all training samples" in auto.notes(243, 243)[0]
    small = SmallBatches(batch_size="auto", **settings)
    assert [small.distinct_batch_of(n, 1) for n in (2, 100, 5000)] == [2, 100, 128]
    assert small.notes(128, 1200) == [] and small.notes(100, 100)[0].endswith("as they are below 128")
    with pytest.raises(UserError, match="at most the 243 training samples, got 300"):
        Trainer(batch_size=300, **settings).distinct_batch_of(243, 1)
    with pytest.raises(UserError, match="at least the 4 processes"):
        auto.distinct_batch_of(3, 4)


def test_a_batch_that_leaves_out_much_of_every_epoch_is_said_with_one_that_does_not():
    """An epoch is of whole batches: of 383 samples, 256 and no more."""
    settings = dict(epochs=1, microbatch=None, eval_every=1, device="cpu", precision="float32", compile=False)
    notes = Trainer(batch_size="auto", **settings).notes(256, 383)
    assert len(notes) == 1 and "leaves out 127 of 383 training samples" in notes[0]
    assert notes[0].endswith("; 191 would leave out 1")
    assert all(Trainer(batch_size="auto", **settings).notes(256, samples) == [] for samples in (256, 1200, 50000))
    assert Trainer(batch_size=2, **settings).notes(2, 3) == []  # a batch of 1 has no pair


def test_unlabelled_photos_go_through_every_command(tmp_path, capfd):
    root, run = put(tmp_path / "photos", *several(".", count=40)), tmp_path / "run"
    place = ["dataset=folder", f"dataset.root={root}"]
    assert ssvae("train", *place, *FEW, f"hydra.run.dir={run}") == 0
    said = capfd.readouterr().err
    assert "trainer.batch_size=auto" in said and "no classes" in said
    summary = json.loads((run / "summary.json").read_text())
    assert summary["probe/linear/test"] is None and summary["probe/knn/test"] is None
    assert summary["elbo/test"] is not None
    listing = json.loads((run / "split.json").read_text())
    put(root, "new.png", size=(30, 20))
    assert "the data are not those" in refused(capfd, "train", f"resume={run}", "trainer.epochs=2").splitlines()[-1]
    assert ssvae("embed", f"run={run}", *place, f"hydra.run.dir={tmp_path}/embedded") == 0
    arrays = np.load(tmp_path / "embedded" / "embeddings.npz", allow_pickle=False)
    names = [name for part in listing for name in arrays[f"name_{part}"]]
    assert sorted(names) == sorted([*(f"{i}.png" for i in range(40)), "new.png"]) and "y_test" not in arrays
    assert set(listing["test"]) <= set(arrays["name_test"])
    assert ssvae("report", f"runs={run}", f"hydra.run.dir={tmp_path}/report") == 0


@pytest.mark.parametrize("x, added", [((20, 5), {"encoder=mlp", "pairs=noise"}), ((20, 3, 8, 8), set())])
def test_a_file_of_vectors_brings_what_suits_them(x, added, tmp_path):
    from ssvae_cli.cli.suiting import suiting_overrides

    np.savez(tmp_path / "a b=1.npz", x=np.zeros(x))
    given = ["dataset=npz", f'dataset.path="{tmp_path}/a b=1.npz"']
    assert set(suiting_overrides("train", given)) - set(given) == added
    chosen = [*given, "encoder=mlp", "pairs=simclr"]
    assert suiting_overrides("train", chosen) == chosen and suiting_overrides("embed", given) == given
