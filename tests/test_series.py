"""Series of unequal length: what of a file is padding, and what of it is missing.

1. Lengths come from an array, from trailing NaN, or from series one after the other; the three read the same.
2. A number missing inside a series is refused by its place, or masked.
3. Windows lie within the length, and may begin at every place there.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from helpers import composed
from ssvae_cli.datasets import Data, Split
from ssvae_cli.datasets.sequences import sequences
from ssvae_cli.errors import UserError
from ssvae_cli.pairs.base import Identity, make_pairs
from ssvae_cli.pairs.context import Context
from ssvae_cli.pairs.window import Window

LENGTH = np.array([3, 5, 4, 5, 2, 3])
X = np.arange(6 * 5 * 2, dtype=np.float64).reshape(6, 5, 2)
INSIDE = np.arange(5) < LENGTH[:, None]
PADDED = np.where(INSIDE[..., None], X, np.nan)


def read(tmp_path, arrays, **options):
    np.savez(tmp_path / "a.npz", **arrays)
    return sequences(path=str(tmp_path / "a.npz"), validation=1, test=1, **options)


def series(data):
    """{row: its steps without padding}."""
    rows = {}
    for split in data.splits.values():
        for x, length, row in zip(split.x, split.lengths, split.row):
            assert (x[length:] == 0).all()
            rows[row.item()] = x[:length].numpy()
    return rows


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": PADDED},
        {"x": PADDED, "length": LENGTH},
        {"x": np.where(INSIDE[..., None], X, 1e9), "length": LENGTH},
        {"x": X[INSIDE], "length": LENGTH},
    ],
    ids=["trailing NaN", "NaN and lengths", "any padding", "one after the other"],
)
def test_lengths_are_an_array_or_trailing_nan_and_nothing_of_the_padding_is_read(arrays, tmp_path):
    found = series(read(tmp_path, arrays))
    assert all(np.array_equal(found[row], X[row, : LENGTH[row]]) for row in range(6)) and len(found) == 6


def test_series_of_equal_length_have_no_lengths(tmp_path):
    data = read(tmp_path, {"x": X, "length": np.full(6, 5)})
    assert data.train.length is None and not data.notes


@pytest.mark.parametrize("kind", ["trailing NaN", "one after the other", "each part of one length"])
def test_parts_are_padded_to_the_longest_series_of_them_all(kind, tmp_path):
    long, short = (LENGTH[:3], LENGTH[4:]) if kind != "each part of one length" else (np.full(3, 5), np.full(2, 3))
    x = {"train": X[:3], "test": X[4:, : short.max()]}
    arrays = {}
    for part, length in {"train": long, "test": short}.items():
        inside = np.arange(x[part].shape[1]) < length[:, None]
        flat = kind == "one after the other"
        arrays[f"x_{part}"] = x[part][inside] if flat else np.where(inside[..., None], x[part], np.nan)
        arrays |= {f"length_{part}": length} if flat else {}
        arrays[f"factors_{part}"] = np.full((*x[part].shape[:2], 1), "a")
    np.savez(tmp_path / "a.npz", **arrays)
    data = sequences(path=str(tmp_path / "a.npz"), validation=1, test=None)
    assert data.shape == (5, 2) == data.test.shape and data.test.lengths.tolist() == short.tolist()
    assert all(torch.equal(data.test.x[i, :n], torch.tensor(x["test"][i, :n]).float()) for i, n in enumerate(short))
    assert not any(data.test.x[i, n:].any() for i, n in enumerate(short))
    assert data.test.factors.shape == (2, 5, 1) and (data.test.factors[:, 3:] == -1).all(), "no category in the padding"


def test_factors_of_steps_may_be_padded_as_the_series_are(tmp_path):
    data = read(tmp_path, {"x": PADDED, "factors": PADDED[..., :1]})
    assert all(bool(split.factors.isfinite().all()) for split in data.splits.values())
    window = Window(length=2, step=1, read="last", then=Identity())
    last = window.factors(data.train)[:, 0]
    assert torch.equal(last, window.clean(data.train)[:, 0]), "of the last step within the length"


HOLED = X.copy()
HOLED[1, 2, 1] = HOLED[1, 3, 1] = HOLED[3, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": HOLED}, "x: row 1, step 2, column 1 is NaN, the first of 3 missing numbers inside series; fill them"),
        ({"x_train": X, "x_test": HOLED}, "x_test: row 1, step 2"),
        ({"x": np.where(X == 7, np.inf, X)}, "x has values that are NaN or infinite in 1 of 6 rows, the first in row"),
        ({"x": np.full_like(X, np.nan)}, "row 0 has no step"),
        ({"x": X, "length": LENGTH + 1}, "length must be at most the 5 steps of x, got 6 in row 1"),
        ({"x": X, "length": LENGTH * 0}, "length must be at least 1, got 0 in row 0"),
        ({"x": X, "length": LENGTH / 2}, r"length must be integers, \[N\], got float64"),
        ({"x": X, "length": LENGTH[:4]}, "one row per sample, got x 6, length 4"),
        ({"x": X[INSIDE][:-1], "length": LENGTH}, "x has 21 rows, which are neither 6 series, nor 22 steps, the sum"),
        ({"x": X, "y": np.zeros((6, 5), int)}, r"factors are \[N, T, 1\], labels of single steps"),
        ({"x": X[:1]}, r"at least 3 series are needed.*got 1; cut a long series into pieces, \[N, T, D\]"),
        ({"x": X[0, :, 0]}, r"got \[5\]; cut a long series into pieces"),
    ],
)
def test_what_is_wrong_with_a_series_is_said_with_its_place(arrays, said, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    share = None if "x_test" in arrays else 1
    with pytest.raises(UserError, match=said):
        sequences(path=str(tmp_path / "a.npz"), validation=1, test=share)


def test_masked_numbers_are_the_last_before_them_and_say_so(tmp_path):
    found = series(read(tmp_path, {"x": HOLED}, missing="mask"))
    assert found[1][:, 1].tolist() == [11, 13, 13, 13, 19] and found[1][:, 3].tolist() == [1, 1, 0, 0, 1]
    assert found[3][:, 0].tolist() == [32, 32, 34, 36, 38], "the first has none before it, and takes the next"
    assert np.array_equal(found[0], np.concatenate([X[0], np.ones((5, 2))], 1))


def split_of(x, length):
    x = torch.tensor(x)
    return Split(x, torch.zeros(len(x), dtype=torch.long), length=torch.tensor(length))


def test_windows_lie_within_the_length_and_begin_at_every_place_there():
    many = 400
    rows = split_of(np.tile(np.arange(8.0)[None, :, None], (many, 1, 1)), [8, 5] * (many // 2))
    window = Window(length=3, step=2, read="mean", then=Identity())
    views = torch.stack(window(rows, torch.Generator().manual_seed(0)), 1)[..., 0]
    assert (views.diff(dim=1) == 2).all()
    assert set(views[0::2, 0].tolist()) == {0, 1, 2, 3} and set(views[1::2, 0].tolist()) == {0}
    context = Context(window=3, ahead=1, future=None, then=Identity())
    x, x_prime = context(rows, torch.Generator().manual_seed(0))
    assert (x_prime[:, 0] == x[:, -1, 0] + 1).all() and x_prime[1::2].max() == 4 and x_prime[0::2].max() == 7
    assert context.clean(rows)[:2, :, 0].tolist() == [[5, 6, 7], [2, 3, 4]]


def test_several_steps_of_the_future_are_views_of_their_own():
    rows = split_of(np.tile(np.arange(8.0)[None, :, None], (40, 1, 1)), [8, 6] * 20)
    context = Context(window=2, ahead=2, future=None, then=Identity(), views=4)
    x, *later = (view for view in context(rows, torch.Generator().manual_seed(0)))
    assert context.shapes(Data(rows, rows, rows)) == ((2, 1), (1,), (1,), (1,))
    assert all((step[:, 0] == x[:, -1, 0] + 2 + k).all() for k, step in enumerate(later)) and len(later) == 3
    with pytest.raises(UserError, match="views above 2 are single steps of the future: future must be null, got 3"):
        Context(window=2, ahead=1, future=3, then=Identity(), views=3)


def test_probes_read_the_last_step_or_each_step_of_a_series_equally_often():
    rows = split_of(np.arange(16.0).reshape(2, 8, 1), [8, 4])
    read = lambda how: Window(length=2, step=1, read=how, then=Identity()).clean(rows)[..., 0].tolist()
    assert read("last") == [7, 11]
    assert read("mean") == [list(range(8)), [8, 8, 9, 9, 10, 10, 11, 11]] == read(None)


def test_series_shorter_than_a_window_are_refused_by_their_row():
    rows = split_of(np.zeros((3, 8, 1)), [8, 5, 2])
    longer = split_of(np.zeros((3, 8, 1)), [8, 4, 3])
    fault = "row 2, in test, has 2 steps, the fewest, and length=4 and step=1 need 4; 3 of 9 rows are too short"
    with pytest.raises(UserError, match=fault):
        Window(length=4, step=1, read=None, then=Identity()).attach(Data(longer, longer, rows))
    with pytest.raises(UserError, match="pairs=context: row 2, in train, has 2 steps"):
        Context(window=3, ahead=1, future=None, then=Identity()).attach(Data(rows, longer, longer))


def test_pairs_that_read_the_padding_say_so(caplog):
    rows = split_of(np.zeros((3, 8, 1), np.float32), [8, 5, 4])
    data, said = Data(rows, rows, rows), "Noise reads whole sequences, with the zeros that pad them"
    noise = {"_target_": "ssvae_cli.pairs.noise.Noise", "std": 0.1}
    window = {"_target_": "ssvae_cli.pairs.window.Window", "length": 2, "step": 1, "read": None}
    window["then"] = {"_target_": "ssvae_cli.pairs.base.Identity"}
    make_pairs(OmegaConf.create(window), data)
    assert not caplog.messages
    make_pairs(OmegaConf.create(noise), data)
    assert [message for message in caplog.messages if said in message]
    caplog.clear()
    whole = split_of(np.zeros((3, 8, 1), np.float32), [8, 8, 8])
    whole = replace(whole, length=None)
    make_pairs(OmegaConf.create(noise), Data(whole, whole, whole))
    assert not caplog.messages


def test_other_series_are_refused_where_a_window_would_begin_before_their_first_step():
    rows = split_of(np.zeros((3, 8, 1)), [8, 4, 3])
    data = Data(rows, rows, rows)
    context, window = (
        Context(window=3, ahead=2, future=None, then=Identity()),
        Window(length=4, step=1, read=None, then=Identity()),
    )
    context.require_readable(data)
    window.require_readable(data)
    for pairs in (context, window):
        with pytest.raises(UserError, match="row 2, in train, has 3 steps, the fewest"):
            pairs.attach(data)
    with pytest.raises(UserError, match="row 2, in train, has 3 steps, the fewest, and window=4 need 4"):
        Context(window=4, ahead=2, future=None, then=Identity()).require_readable(data)
    vectors = Split(torch.zeros(4, 6), torch.zeros(4, dtype=torch.long))
    with pytest.raises(UserError, match=r"pairs=window needs sequences.*one x is \[6\] here"):
        window.require_readable(Data(vectors, vectors, vectors))


@pytest.mark.parametrize("command", ["embed", "eval", "finetune"])
@pytest.mark.parametrize("data_set", ["balls", "paired", "sequences"])
def test_a_command_on_a_run_takes_a_data_set_that_brings_a_g_prime(data_set, command):
    assert composed(f"dataset={data_set}", "run=RUN", command=command).dataset._target_
