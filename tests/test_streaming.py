"""Images that do not fit: streamed batches are the resident ones, and a fault in a worker is a line.

1. Streamed and resident data give the same batches, whatever the number of workers, and the same run, bit for bit.
2. A run on a stream resumes to the same numbers.
3. A file that cannot be read is named and counted, or skipped; a worker that dies ends the run with its cause.
4. Batches are shared memory and not copied, yet no later batch writes over one that is held.
"""

import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import make_folder, read_data, ssvae
from ssvae_cli.datasets.folder import folder
from ssvae_cli.datasets.io import streaming
from ssvae_cli.datasets.io.images import ImageFiles
from ssvae_cli.datasets.io.shared_buffers import SharedBuffers
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.errors import UserError
from ssvae_cli.pairs.halves import Halves
from ssvae_cli.pairs.noise import Noise
from ssvae_cli.pairs.supervised import Supervised
from ssvae_cli.training import checkpoint


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("photos"), count=20)


def read(root, **options):
    return folder(root=str(root), **({"size": None, "channels": 3, "validation": 8, "workers": 2} | options))


def copied(root, tmp_path):
    return shutil.copytree(root, tmp_path / "photos")


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_stream_gives_the_batches_of_resident_data(workers, root, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK", 5)  # several tasks a batch
    resident, streamed = read(root), read(root, memory_gb=0.0, workers=workers)
    assert isinstance(streamed.train, Streamed) and streamed.shape == resident.shape == (3, 8, 8)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))[:30]
    for rows in (order, None):
        ours, theirs = (list(data.train.batches(12, rows)) for data in (streamed, resident))
        assert [len(b) for b in ours] == [len(b) for b in theirs]
        assert all(torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(ours, theirs))
    some = torch.tensor([5, 1])
    (batch,) = streamed.test.rows(some).batches(9)
    assert torch.equal(batch.x, resident.test.rows(some).x) and torch.equal(batch.y, resident.test.rows(some).y)


@pytest.mark.parametrize("hold", [lambda batch: batch.x, lambda batch: batch.x[1:, :1], lambda batch: batch.x.numpy()])
def test_no_batch_is_written_over_while_it_or_a_view_of_it_is_held(hold, root):
    resident, streamed = read(root), read(root, memory_gb=0.0, workers=2)
    held = [hold(batch) for batch in streamed.train.batches(2)]  # more batches than there are places
    assert all(np.array_equal(a, hold(b)) for a, b in zip(held, resident.train.batches(2)))


def test_batches_that_are_dropped_share_few_places():
    places = SharedBuffers([((2,), np.dtype(np.uint8)), ((3, 1), np.dtype(np.float32))], size=4, count=3)
    pixels, numbers = places.lend(places.free.pop(), 2)
    assert pixels.shape == (2, 2) and numbers.shape == (2, 3, 1) and numbers.dtype == torch.float32
    assert (len(places.free), places.lent) == (2, 1)
    part = numbers[0, :1]
    del pixels, numbers
    assert len(places.free) == 2
    del part
    assert (len(places.free), places.lent) == (3, 0)


def test_reading_a_stream_leaves_the_random_numbers_of_training_alone(root):
    before = torch.get_rng_state()
    list(read(root, memory_gb=0.0).test.batches(16))
    assert torch.equal(torch.get_rng_state(), before)


def run(root, place, *overrides):
    data = ["dataset=folder", f"dataset.root={root}", "dataset.validation=8", "dataset.workers=1"]
    few = ["trainer.epochs=2", "trainer.eval_every=2", "trainer.batch_size=10", "encoder.backbone.width=4"]
    return ssvae("train", *data, *few, "trainer.device=cpu", *overrides, f"hydra.run.dir={place}")


def test_a_run_on_a_stream_is_the_run_on_resident_data_stopped_and_resumed_or_not(root, tmp_path, monkeypatch):
    assert run(root, tmp_path / "resident") == 0
    save = checkpoint.save

    def save_and_stop(place, state):
        save(place, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_stop)
    assert run(root, tmp_path / "streamed", "dataset.memory_gb=0") == 130
    monkeypatch.setattr(checkpoint, "save", save)
    assert ssvae("train", f"resume={tmp_path}/streamed") == 0
    resident, streamed = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in ("resident", "streamed"))
    assert resident == streamed and resident.count(b"\n") == 2


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damaged", [["7"], ["7", "9", "11"]])
def test_damaged_files_of_a_stream_are_named_and_counted_as_resident_ones_are(damaged, workers, root, tmp_path, caplog):
    root = copied(root, tmp_path)
    for name in damaged:
        (root / "test" / "dog" / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(UserError) as resident:
        read(root)
    data = read(root, memory_gb=0.0, workers=workers)
    with pytest.raises(UserError, match="dog/.*png: cannot be read .*on_error=skip") as streamed:
        list(data.test.batches(8))
    assert str(streamed.value) == str(resident.value) and "\n" not in str(streamed.value)
    assert ("3 of 40 images for test cannot be read, the first: " in str(streamed.value)) == (len(damaged) > 1)
    assert "png: cannot be read" in caplog.text and "counting all such images" in caplog.text


def test_a_bomb_and_another_size_in_a_stream_are_named_in_a_line(root, tmp_path):
    root = copied(root, tmp_path)
    Image.new("L", (20_000, 10_000)).save(root / "test" / "cat" / "0.png")
    Image.new("RGB", (9, 8)).save(root / "train" / "dog" / "0.png")
    data = read(root, memory_gb=0.0, workers=1)
    with pytest.raises(UserError, match="cat/0.png: cannot be read.*pixels"):
        list(data.test.batches(8))
    with pytest.raises(UserError, match="dog/0.png: 9x8 pixels, but others are 8x8"):
        list(data.train.batches(8))


def test_a_stream_that_skips_is_read_once_beforehand_and_says_how_many(root, tmp_path, caplog):
    root = copied(root, tmp_path)
    for i in (0, 3):
        (root / "test" / "dog" / f"{i}.png").write_bytes(b"no image")
    data = read(root, memory_gb=0.0, on_error="skip")
    assert "skipped 2 of 40 images for test; the first: " in caplog.text and "0.png" in caplog.text
    assert len(data.test) == len(data.test.y) == 38
    assert sum(len(batch) for batch in data.test.batches(16)) == 38


def test_workers_are_out_of_the_terminals_reach_and_end_with_their_stream(root, monkeypatch):
    """Ctrl-C reaches the run alone; a stream that is left half read leaves no process behind."""
    session = os.getsid(0)

    def read_apart(self, row):
        assert os.getsid(0) != session
        return np.zeros(self.shape, np.uint8)

    monkeypatch.setattr(ImageFiles, "pixels", read_apart)
    before = multiprocessing.active_children()
    batches = read(root, memory_gb=0.0, workers=1).test.batches(4)
    next(batches)
    assert len(multiprocessing.active_children()) == len(before) + 1
    batches.close()
    assert multiprocessing.active_children() == before


def test_a_worker_that_dies_ends_the_run_with_its_cause(root, tmp_path, monkeypatch, capfd):
    parent = os.getpid()

    def killed(self, row):
        assert os.getpid() != parent, "only a worker decodes"
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ImageFiles, "pixels", killed)
    assert run(root, tmp_path / "run", "dataset.memory_gb=0") == 2
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert "a process that decodes images died (signal SIGKILL)" in last and "lower dataset.workers, 1 here" in last


def test_a_mapped_file_that_is_written_to_is_a_line_and_one_that_is_replaced_is_read_as_it_was(tmp_path):
    file, other = tmp_path / "x.npz", tmp_path / "other.npz"
    np.savez(file, x=np.random.default_rng(0).normal(size=(100, 4)))
    data = read_data("npz", file, "dataset.memory_gb=0", "dataset.workers=0")
    first = next(data.train.batches(8)).x.clone()
    shutil.copy(file, other)
    os.truncate(file, 400)  # what is mapped beyond would end the process by a signal
    with pytest.raises(UserError, match=r"x\.npz was written to while this command reads it"):
        next(data.train.batches(8))
    data = read_data("npz", other, "dataset.memory_gb=0", "dataset.workers=0")
    np.savez(file, x=np.zeros((100, 4)))
    os.replace(file, other)
    assert torch.equal(next(data.train.batches(8)).x, first)


def test_pairs_in_turn_take_streams_and_partners_by_label_are_refused_in_a_line(root):
    data = read(root, memory_gb=0.0, workers=0)
    halves = Halves(first="top", then=Noise(std=0.1))
    assert halves.shapes(data) == ((3, 4, 8), (3, 4, 8))
    with pytest.raises(UserError, match="in memory; raise dataset.memory_gb"):
        Supervised(then=Noise(std=0.1)).attach(data)


@pytest.mark.parametrize("wrong", [{"memory_gb": -1.0}, {"workers": -1}])
def test_settings_out_of_range_are_refused(wrong, root):
    with pytest.raises(UserError, match="^(memory_gb|workers) must be at least 0"):
        read(root, **wrong)
