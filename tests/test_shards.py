"""Tar shards: what a folder of the same images gives, in any order, streamed or not; all else is refused in a line."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import FILE_RUN, refused, ssvae
from ssvae_cli.datasets.folder import folder
from ssvae_cli.datasets.shards import shards
from ssvae_cli.errors import UserError


def png(number: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content := io.BytesIO(), kind)
    return content.getvalue()


def make_shard(path, files: dict[str, bytes], mode: str = "w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make_shards(root, parts=("train", "val", "test"), shards=2, each=6):
    """Shards of images with classes, and the same images in folders, root/tar and root/folder."""
    number = 0
    for part in parts:
        for shard in range(shards):
            files = {}
            for i in range(each):
                word = ("cat", "dog")[i % 2]
                files |= {
                    f"{shard}{i:03}.png": png(number),
                    f"{shard}{i:03}.cls": word.encode(),
                    f"{shard}{i:03}.json": b"{}",
                }
                place = root / "folder" / part / word
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{shard}{i:03}.png").write_bytes(png(number))
                number += 1
            make_shard(root / "tar" / f"{part}-{shard:04}.tar", files)
    return root / "tar"


def read(root, **options):
    return shards(**({"root": str(root), "size": None, "channels": 3} | options))


def test_shards_hold_what_a_folder_of_the_same_images_holds(tmp_path):
    data = read(make_shards(tmp_path))
    of_folder = folder(root=str(tmp_path / "folder"), size=None, channels=3)
    assert data.classes == of_folder.classes == ("cat", "dog")
    for part, split in data.splits.items():
        other = of_folder.splits[part]
        for word in (0, 1):
            ours, theirs = ({tuple(x.flatten().tolist()) for x in s.x[s.y == word]} for s in (split, other))
            assert len(ours) == 6 and ours == theirs
    assert data.names[data.train.row[1]] == "train-0000.tar:0001"


def test_streamed_shards_give_the_batches_of_those_in_memory_with_any_number_of_workers(tmp_path):
    root = make_shards(tmp_path)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    batches = [list(read(root, memory_gb=4).train.batches(5, order))]
    batches += [list(read(root, memory_gb=0, workers=workers).train.batches(5, order)) for workers in (0, 2)]
    for held, *streamed in zip(*batches):
        for batch in streamed:
            assert torch.equal(batch.x, held.x) and torch.equal(batch.y, held.y)


def test_one_archive_is_enough_and_numbers_are_classes_in_their_order(tmp_path):
    files = {
        f"a/{i}.{kind}": content for i in range(40) for kind, content in (("png", png(i)), ("cls", b"%d" % (i % 11)))
    }
    files |= {"a/._0.png": b"a Mac's", "a/note.txt": b"no sample"}
    data = read(make_shard(tmp_path / "data.tar", files))
    assert data.classes == tuple(map(str, range(11)))
    assert sum(map(len, data.splits.values())) == 40 and len(data.test) > 0 < len(data.validation)
    assert any("without a .png: 1 sample" in note for note in data.notes)
    assert read(tmp_path / "data.tar", label=None).classes == ()


def test_of_several_images_a_sample_one_is_chosen(tmp_path):
    shard = make_shard(
        tmp_path / "a.tar",
        {f"{i}.{side}.png": png(2 * i + k) for i in range(9) for k, side in enumerate(("left", "right"))},
    )
    with pytest.raises(UserError, match=r"several kinds of images, left.png, right.png; dataset.image chooses one"):
        read(shard)
    x = read(shard, image="right.png").train.x
    assert any(
        np.array_equal(x[0].permute(1, 2, 0), np.asarray(Image.open(io.BytesIO(png(2 * i + 1))))) for i in range(9)
    )
    with pytest.raises(UserError, match="image=rigth.png: no sample.*did you mean 'right.png'"):
        read(shard, image="rigth.png")


def cut(path):
    path.write_bytes(path.read_bytes()[: 512 + 20])


def two_of_one_name(path):
    make_shard(path, {"0.png": png(0)})
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("0.png")
        info.size = len(png(1))
        archive.addfile(info, io.BytesIO(png(1)))


def spoilt(path):
    """A shard whose second header is damaged, where tarfile ends in silence."""
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        at = archive.getmembers()[1].offset
    content[at : at + 9] = b"\xff" * 9
    path.write_bytes(content)


def test_a_shard_that_ends_between_two_files_without_its_end_mark_is_named_in_the_log(tmp_path, caplog):
    path = make_shard(tmp_path / "a.tar", {f"{i}.png": png(i) for i in range(9)})
    assert sum(map(len, read(path).splits.values())) == 9 and not caplog.text
    with tarfile.open(path) as archive:
        end = archive.getmembers()[5].offset
    path.write_bytes(path.read_bytes()[:end])
    assert sum(map(len, read(path).splits.values())) == 5
    assert "a.tar: it has no end mark after 4.png, as where it was cut short" in caplog.text


def test_numbers_that_are_written_in_two_ways_are_classes_in_one_order(tmp_path):
    words = ["1", "01", "--1", "2"]
    files = {f"{i}.{k}": c for i in range(9) for k, c in (("png", png(i)), ("cls", words[i % 4].encode()))}
    assert read(make_shard(tmp_path / "a.tar", files)).classes == ("01", "1", "2", "--1")


def test_what_a_shard_holds_is_listed_in_part(tmp_path):
    shard = make_shard(tmp_path / "a.tar", {f"photo.{i:03}.png": b"" for i in range(300)})
    with pytest.raises(UserError) as error:
        read(shard)
    assert len(str(error.value)) < 400 and "(300); dataset.image chooses one; a sample's name ends" in str(error.value)


FAULTS = {
    "compressed": (lambda root: make_shard(root / "a.tar.gz", {"0.png": png(0)}, "w:gz"), "a.tar.gz is compressed"),
    "compressed, called .tar": (lambda root: make_shard(root / "a.tar", {"0.png": png(0)}, "w:gz"), "decompress it"),
    "no archive": (lambda root: (root / "a.tar").write_bytes(b"text " * 500), "cannot be read as a tar archive"),
    "cut short": (lambda root: cut(make_shard(root / "a.tar", {"0.png": png(0), "1.png": png(1)})), "a.tar"),
    "damaged": (
        lambda root: spoilt(make_shard(root / "a.tar", {f"{i}.png": png(i) for i in range(9)})),
        "a.tar: it is damaged after 0.png, at byte",
    ),
    "empty": (lambda root: make_shard(root / "a.tar", {}), "no images in its shards"),
    "no images": (lambda root: make_shard(root / "a.tar", {"0.txt": b"text"}), "found: txt; allowed: "),
    "test alone": (lambda root: make_shard(root / "test-0.tar", {"0.png": png(0)}), "name those for training train"),
    "a class that is an image": (
        lambda root: make_shard(root / "a.tar", {f"{i}.{kind}": png(i) for i in range(9) for kind in ("png", "cls")}),
        "0.cls: not the name of a class",
    ),
    "damaged image": (
        lambda root: make_shard(root / "a.tar", {f"{i}.png": png(i)[: None if i else 60] for i in range(9)}),
        "a.tar:0.png: cannot be read as an image (",
    ),
    "an empty image": (
        lambda root: make_shard(root / "a.tar", {f"{i}.png": png(i) if i else b"" for i in range(9)}),
        "a.tar:0.png: cannot be read as an image (cannot identify image file)",
    ),
    "two files of one name": (
        lambda root: two_of_one_name(root / "a.tar"),
        "a.tar: two files that follow each other are called 0.png",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_shard_is_refused_in_a_line(fault, tmp_path):
    make, said = FAULTS[fault]
    make(tmp_path)
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_image_is_skipped_on_request(tmp_path):
    FAULTS["damaged image"][0](tmp_path)
    assert sum(map(len, read(tmp_path, on_error="skip").splits.values())) == 8


def test_a_run_on_shards_trains_and_a_missing_folder_is_a_line(tmp_path, capfd):
    root, run = make_shards(tmp_path, each=24), tmp_path / "run"
    options = ["dataset=shards", f"dataset.root={root}", "dataset.memory_gb=0", "dataset.workers=1"]
    assert ssvae("train", *options, "encoder=convnet", *FILE_RUN, "evaluation=quick", f"hydra.run.dir={run}") == 0
    assert json.loads((run / "summary.json").read_text())["versions"]
    said = refused(capfd, "train", "dataset=shards", f"dataset.root={tmp_path}/none", f"hydra.run.dir={tmp_path}/other")
    assert "no such file or folder; give a folder of .tar shards" in said
