"""Partners in two folders, x/ and x2/, are matched by their names; what does not pair is refused in one line."""

import shutil

import pytest
import torch
from PIL import Image

from ssvae_cli.datasets.paired import paired
from ssvae_cli.errors import UserError

PLAIN = {"size": None, "channels": 3, "size2": None, "channels2": 3, "validation": None, "test": None}


def read(path, **options):
    return paired(path=path, **(PLAIN | options))


def rows(data):
    return torch.cat([split.x for split in data.splits.values()])


def two_folders(root):
    """x/ in colour and x2/ in grey, of another size and kind of file, each pair of one grey level."""
    for i in range(12):
        for name, mode, side, kind in (("x", "RGB", 8, "png"), ("x2", "L", 6, "bmp")):
            (root / name / "sub").mkdir(parents=True, exist_ok=True)
            Image.new("L", (side, side), 20 * i).convert(mode).save(root / name / "sub" / f"{i}.{kind}")
    return root


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
def test_partners_in_two_folders_are_matched_by_name(memory_gb, tmp_path):
    data = read(str(two_folders(tmp_path)), channels2=1, memory_gb=memory_gb, workers=1)
    assert data.shape == (3, 8, 8) and data.shape_prime == (1, 6, 6)
    seen = [batch for split in data.splits.values() for batch in split.batches(4)]
    assert all(torch.equal(b.x[:, 0, 0, 0], b.x_prime[:, 0, 0, 0]) for b in seen)
    assert sorted(torch.cat([b.x[:, 0, 0, 0] for b in seen]).tolist()) == [20 * i for i in range(12)]


def test_a_pair_with_a_damaged_half_is_skipped_whole(tmp_path, caplog):
    (two_folders(tmp_path) / "x2" / "sub" / "3.bmp").write_bytes(b"nothing")
    with pytest.raises(UserError, match="3.bmp: cannot be read"):
        read(str(tmp_path), channels2=1)
    data = read(str(tmp_path), channels2=1, on_error="skip")
    assert sum(map(len, data.splits.values())) == 11 and "skipped 1 of 12" in caplog.text
    assert 60 not in rows(data)[:, 0, 0, 0].tolist()


def lonely(root):
    (two_folders(root) / "x2" / "sub" / "5.bmp").rename(root / "x2" / "sub" / "55.bmp")
    return "5.png has no partner of that name in .*x2; did you mean 'sub/55'"


def no_second(root):
    shutil.rmtree(two_folders(root) / "x2")
    return "x2: no such folder"


def called_twice(root):
    Image.new("L", (8, 8)).save(two_folders(root) / "x" / "sub" / "5.gif")
    return "two images are called sub/5"


@pytest.mark.parametrize("spoil", [lonely, no_second, called_twice], ids=lambda f: f.__name__)
def test_folders_that_do_not_pair_are_refused_in_a_line(spoil, tmp_path):
    with pytest.raises(UserError, match=spoil(tmp_path)) as error:
        read(str(tmp_path))
    assert "\n" not in str(error.value)
