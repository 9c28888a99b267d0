"""A user's own arrays: what npz, sequences and paired take, split and refuse, each refusal in one line."""

import mmap

import numpy as np
import pytest
import torch

from ssvae_cli.datasets import Factor
from ssvae_cli.datasets.io.streaming import Streamed
from ssvae_cli.datasets.npz import npz
from ssvae_cli.datasets.paired import paired
from ssvae_cli.datasets.sequences import sequences
from ssvae_cli.device import in_precision
from ssvae_cli.errors import UserError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (20, 3, 8, 8), np.uint8)
VECTORS = RNG.normal(size=(20, 5)).astype(np.float32)
SERIES = RNG.normal(size=(20, 6, 2))
READERS = {
    "npz": lambda path, **o: npz(path=path, **({"validation": None, "test": None} | o)),
    "sequences": lambda path, **o: sequences(path=path, **({"validation": None, "test": None} | o)),
    "paired": lambda path, **o: paired(
        path=path,
        **({"size": None, "channels": 3, "size2": None, "channels2": 3, "validation": None, "test": None} | o),
    ),
}


def read(kind, folder, arrays, **options):
    path = folder / "file.npz"
    np.savez(path, **arrays)
    return READERS[kind](str(path), **options)


def rows(data, name="x"):
    return torch.cat([getattr(split, name) for split in (data.train, data.validation, data.test)])


def test_one_x_is_split_into_tenths_that_are_all_of_it(tmp_path):
    data = read("npz", tmp_path, {"x": BYTES, "y": np.arange(20) % 4 + 3})
    assert [len(s) for s in data.splits.values()] == [17, 1, 2] and data.shape == (3, 8, 8)
    assert sorted(rows(data).flatten(1).sum(1).tolist()) == sorted(BYTES.reshape(20, -1).sum(1).tolist())
    assert data.classes == ("3", "4", "5", "6") and set(rows(data, "y").tolist()) == {0, 1, 2, 3}


def test_splits_of_the_file_are_kept(tmp_path):
    data = read("npz", tmp_path, {"x_train": VECTORS[:10], "x_test": VECTORS[10:], "x_validation": VECTORS[:4]})
    assert torch.equal(data.train.x, torch.from_numpy(VECTORS[:10]))
    assert torch.equal(data.test.x, torch.from_numpy(VECTORS[10:])) and len(data.validation) == 4
    assert (data.train.y == -1).all() and data.classes == ()


def test_floats_in_the_unit_interval_become_bytes_and_grey_gets_its_channel(tmp_path):
    data = read("npz", tmp_path, {"x": BYTES[:, 0] / 255})
    assert data.train.x.dtype == torch.uint8 and data.shape == (1, 8, 8)
    again = read("npz", tmp_path, {"x": BYTES[:, 0]})
    assert torch.equal(data.test.x, again.test.x)


def test_factors_are_numbers_or_categories_with_names_of_their_own(tmp_path):
    data = read("npz", tmp_path, {"x": VECTORS, "factors": VECTORS[:, :2], "factor_names": np.array(["a", "b"])})
    assert data.factors == (Factor("a"), Factor("b")) and torch.equal(data.test.factors, data.test.x[:, :2])
    data = read("npz", tmp_path, {"x": VECTORS, "factors": np.arange(20)[:, None] % 3})
    assert data.factors == (Factor("factor0", 3),)
    data = read("npz", tmp_path, {"x": VECTORS, "factors": np.array([[0], [10**7], [-5], [10**7]] * 5)})
    assert data.factors == (Factor("factor0", 3),) and set(rows(data, "factors").flatten().tolist()) == {0, 1, 2}
    data = read("npz", tmp_path, {"x": VECTORS, "factors": np.array([["red"], ["blue"]] * 10)})
    assert data.factors == (Factor("factor0", 2),)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, bool])
def test_integers_and_booleans_are_numbers_of_vectors_and_bytes_of_images(dtype, tmp_path):
    counts = RNG.integers(0, 5, (20, 3)).astype(dtype)
    assert torch.equal(rows(read("npz", tmp_path, {"x": counts})).sum(0), torch.from_numpy(counts.sum(0)).float())
    images = read("npz", tmp_path, {"x": BYTES.astype(dtype)}).train.x
    assert images.dtype == torch.uint8 and images.max() > 200


TIMES = 1.7e9 + np.arange(100.0)


@pytest.mark.parametrize(
    "x, lost",
    {
        "times in seconds": (TIMES, "has 100 values from 1700000000 to 1700000099, of which float32 can represent"),
        "of whole numbers": (TIMES.astype(np.int64), "has 100 values from 1700000000 to"),
        "of a year": (1.7e9 + 3e5 * np.arange(100), None),
        "few, and exact": (1e6 + np.arange(100) % 3, None),
        "the same, but for rounding": (1.7e9 * (1 + 1e-16 * np.arange(100)), None),
        "of float32": (TIMES.astype(np.float32), None),
    }.values(),
)
def test_it_is_said_where_floats_round_away_what_a_column_tells(x, lost, tmp_path, caplog):
    arrays = {"x": np.column_stack([np.arange(100), x]).astype(x.dtype)}
    read("npz", tmp_path, arrays)
    read("sequences", tmp_path, {"x": arrays["x"].reshape(20, 5, 2)})
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (2 if lost else 0) and all(f"x: column 1 {lost}" in line for line in said)
    with in_precision("float64"):
        read("npz", tmp_path, arrays)
    assert len(caplog.records) == len(said)


def test_labels_may_be_words_or_truths_and_an_empty_word_is_none(tmp_path):
    data = read("npz", tmp_path, {"x": VECTORS, "y": np.array(["b", "a", ""] * 6 + ["a", "b"])})
    assert data.classes == ("a", "b") and set(rows(data, "y").tolist()) == {-1, 0, 1}
    assert read("npz", tmp_path, {"x": VECTORS, "y": np.arange(20) % 2 == 0}).classes == ("False", "True")


def test_a_share_is_held_out_as_a_number_is(tmp_path):
    data = read("npz", tmp_path, {"x": VECTORS}, test=0.25, validation=0.2)
    assert [len(split) for split in data.splits.values()] == [12, 3, 5]


def test_series_and_videos_keep_their_steps_and_factors_by_the_step(tmp_path):
    data = read("sequences", tmp_path, {"x": SERIES, "factors": SERIES[..., :1]})
    assert data.shape == (6, 2) and data.train.factors.shape == (17, 6, 1) and data.train.x.dtype == torch.float32
    assert read("sequences", tmp_path, {"x": SERIES[..., 0]}).shape == (6, 1)
    video = read("sequences", tmp_path, {"x": np.stack([BYTES, BYTES], 1)})
    assert video.shape == (2, 3, 8, 8) and video.train.x.dtype == torch.uint8
    assert torch.equal(video.train.x[:, 0], video.train.x[:, 1])


def test_partners_in_a_file_stay_together(tmp_path):
    data = read("paired", tmp_path, {"x": BYTES, "x2": BYTES.reshape(20, -1).sum(1)[:, None] / 1.0})
    assert data.shape == (3, 8, 8) and data.shape_prime == (1,)
    for split in data.splits.values():
        assert torch.equal(split.x.flatten(1).sum(1).float(), split.x_prime[:, 0])


STREAMS = {
    "images": ("npz", {"x": BYTES, "y": np.arange(20) % 4}),
    "images of a column-major file": ("npz", {"x": np.asfortranarray(BYTES)}),
    "float images": ("npz", {"x": BYTES[:, 0] / 255}),
    "vectors with factors": ("npz", {"x": VECTORS.astype(np.float64), "factors": VECTORS[:, :2]}),
    "own splits": ("npz", {"x_train": VECTORS[:9], "x_test": VECTORS[9:12], "x_validation": VECTORS[12:]}),
    "series": ("sequences", {"x": SERIES, "factors": SERIES[..., :1]}),
    "videos": ("sequences", {"x": np.stack([BYTES, BYTES[::-1]], 1)}),
    "pairs": ("paired", {"x": BYTES, "x2": VECTORS, "y": np.arange(20)}),
}


@pytest.mark.parametrize("name", STREAMS)
def test_arrays_above_memory_gb_stay_in_the_file_and_give_the_batches_of_resident_ones(name, tmp_path):
    kind, arrays = STREAMS[name]
    resident = read(kind, tmp_path, arrays)
    streamed = read(kind, tmp_path, arrays, memory_gb=0.0, workers=1)
    assert streamed.shape == resident.shape and streamed.shape_prime == resident.shape_prime
    for split, held in zip(streamed.splits.values(), resident.splits.values()):
        assert isinstance(split, Streamed) and isinstance(split.source.arrays[0].base, np.memmap | mmap.mmap)
        for a, b in zip(split.batches(3), held.batches(3), strict=True):
            for key in ("x", "y", "x_prime", "factors"):
                ours, theirs = getattr(a, key), getattr(b, key)
                assert (ours is None and theirs is None) or (torch.equal(ours, theirs) and ours.dtype == theirs.dtype)


def test_a_limit_that_fits_is_held_though_the_file_does_not(tmp_path):
    data = read("npz", tmp_path, {"x": BYTES}, limit=2, memory_gb=6 * BYTES[0].nbytes / 2**30)
    assert torch.equal(data.train.x, read("npz", tmp_path, {"x": BYTES}, limit=2).train.x)


def test_compressed_arrays_above_memory_gb_are_refused_in_a_line_that_says_what_to_do(tmp_path):
    np.savez_compressed(tmp_path / "file.npz", x=BYTES)
    with pytest.raises(UserError, match="memory_gb=0, and x is compressed.*save it by numpy.savez, or raise"):
        READERS["npz"](str(tmp_path / "file.npz"), memory_gb=0.0)
    assert READERS["npz"](str(tmp_path / "file.npz")).shape == (3, 8, 8)


NAN = VECTORS.copy()
NAN[3, 2] = np.nan
REFUSED = {
    "rank": ("npz", {"x": np.zeros(20)}, r"must be images \[N, C, H, W\]"),
    "zeros and ones": ("npz", {"x": BYTES % 2}, "the largest is 1, nearly black; give true and false"),
    "integers beyond bytes": ("npz", {"x": BYTES.astype(np.int64) + 1}, "integers must lie in 0 to 255, got 1 to 256"),
    "complex numbers": ("npz", {"x": VECTORS * 1j}, "must be numbers, got complex64"),
    "words for x": ("npz", {"x": VECTORS.astype(str)}, "must be numbers, got <U"),
    "not a number": ("npz", {"x": NAN}, "x has values that are NaN or infinite in 1 of 20 rows, the first in row 3"),
    "beyond float32": ("npz", {"x": VECTORS.astype(float) * 1e60}, "x has values beyond float32"),
    "x2 beyond float32": ("paired", {"x": VECTORS, "x2": VECTORS.astype(float) * 1e60}, "x2 has values beyond float32"),
    "a series beyond float32": ("sequences", {"x": SERIES * 1e60}, "x has values beyond float32"),
    "factors beyond float32": (
        "npz",
        {"x": VECTORS, "factors": VECTORS.astype(float) * 1e60},
        "factors has values beyond float32",
    ),
    "out of range": ("npz", {"x": BYTES / 1.0}, r"must lie in \[0, 1\]"),
    "channels last": ("npz", {"x": BYTES.transpose(0, 2, 3, 1)}, "channels last"),
    "RGBA, channels last": ("npz", {"x": np.ones((20, 8, 8, 4)) / 2}, r"channels last.* by \(0, 3, 1, 2\)"),
    "empty": ("npz", {"x": VECTORS[:0]}, "is empty"),
    "too few": ("npz", {"x": VECTORS[:2]}, "at least 3 samples"),
    "objects": ("npz", {"x": np.array([{}, {}])}, "holds Python objects"),
    "words as objects": ("npz", {"x": VECTORS, "y": np.array(["a"] * 20, object)}, r"give words as y.astype\(str\)"),
    "no x": ("npz", {"z": VECTORS}, "unknown array 'z'"),
    "misspelt": ("npz", {"x_tran": VECTORS}, "did you mean 'x_train'"),
    "no test": ("npz", {"x_train": VECTORS}, "both x_train and x_test"),
    "labels of another length": ("npz", {"x": VECTORS, "y": np.arange(7)}, "one row per sample, got x 20, y 7"),
    "labels as floats": (
        "npz",
        {"x": VECTORS, "y": np.ones(20)},
        "y must be integers or words, .*; factors are .N, F., numbers",
    ),
    "labels below -1": ("npz", {"x": VECTORS, "y": np.full(20, -2)}, "at least 0, or -1"),
    "parts that differ": ("npz", {"x_train": VECTORS, "x_test": VECTORS[:, :3]}, "x must have one shape in all parts"),
    "labels of one part": ("npz", {"x_train": VECTORS, "x_test": VECTORS, "y_test": np.arange(20)}, "or no y at all"),
    "factors of the wrong rank": ("npz", {"x": VECTORS, "factors": np.ones(20)}, r"factors must be \[N, F\]"),
    "factors by the step": ("npz", {"x": VECTORS, "factors": np.ones((20, 2, 2))}, r"must be \[N, F\], got"),
    "factors of other steps in test": (
        "sequences",
        {"x_train": SERIES, "x_test": SERIES, "factors_train": SERIES, "factors_test": SERIES[:, -1]},
        "the same columns, and steps, in all parts",
    ),
    "factors with NaN": (
        "npz",
        {"x": VECTORS, "factors": NAN},
        "factors has values that are NaN or infinite in 1 of 20 rows",
    ),
    "one name twice": (
        "npz",
        {"x": VECTORS, "factors": VECTORS[:, :2], "factor_names": np.array(["a", "a"])},
        "must be different words, got .'a', 'a'",
    ),
    "a name with a line feed": (
        "npz",
        {"x": VECTORS, "factors": VECTORS[:, :2], "factor_names": np.array(["a", "b\n"])},
        r"must be different words, got .'a', 'b\\n'",
    ),
    "names without factors": ("npz", {"x": VECTORS, "factor_names": np.array(["a"])}, "but no factors"),
    "too many names": ("npz", {"x": VECTORS, "factors": VECTORS, "factor_names": np.array(["a"])}, "must be 5 words"),
    "sequences of images": ("sequences", {"x": BYTES}, r"must be \[N, T, D\]"),
    "sequences of one step": ("sequences", {"x": SERIES[:, :1]}, "at least 2 steps"),
    "factors of other steps": ("sequences", {"x": SERIES, "factors": SERIES[:, :3]}, "3 steps, but x has 6"),
    "no partner": ("paired", {"x": BYTES}, "either x2 or both x2_train and x2_test"),
    "partners that fail to match": ("paired", {"x": BYTES, "x2": VECTORS[:7]}, "got x 20, x2 7"),
}


@pytest.mark.parametrize("memory_gb", [4.0, 0.0])
@pytest.mark.parametrize("name", REFUSED)
def test_arrays_of_another_kind_are_refused_in_a_line_that_names_them(name, memory_gb, tmp_path):
    kind, arrays, said = REFUSED[name]
    with pytest.raises(UserError, match=said) as error:
        read(kind, tmp_path, arrays, memory_gb=memory_gb)
    assert "file.npz" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, said",
    [(b"", "no .npz file"), (b"no zip at all", "no .npz file"), (b"PK\x03\x04 cut short", "cannot be read as an .npz")],
)
def test_a_file_that_is_no_npz_is_refused_in_a_line(content, said, tmp_path):
    (tmp_path / "file.npz").write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        READERS["npz"](str(tmp_path / "file.npz"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("test, validation", [(19, None), (0, None), (2, 18), (2, 0)])
def test_a_split_that_leaves_nothing_is_refused(test, validation, tmp_path):
    with pytest.raises(UserError, match="must lie between 1 and|at least 2 samples are needed"):
        read("npz", tmp_path, {"x": VECTORS}, test=test, validation=validation)
