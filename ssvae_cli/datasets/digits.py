"""scikit-learn's handwritten digits: 1797 real 8x8 images, nothing to download."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ssvae_cli.datasets.base import Data, Split, limited

TEST, VALIDATION = 397, 200  # the last images of the file, by other writers than the first


def digits(*, limit: int | None = None) -> Data:
    """1200 images, or `limit` of them, for training, 200 for validation, 397 for test; grey 0..16 becomes 0..255."""
    # As sklearn.datasets.load_digits reads them; scikit-learn itself takes a second to import.
    file = Path(find_spec("sklearn").origin).parent / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = np.loadtxt(lines, delimiter=",")
    images, labels = rows[:, :-1], rows[:, -1]
    x = torch.from_numpy(images).mul(255 / 16).round().to(torch.uint8).reshape(-1, 1, 8, 8)
    sizes = (len(x) - TEST - VALIDATION, VALIDATION, TEST)
    train, validation, test = map(Split, x.split(sizes), torch.from_numpy(labels).long().split(sizes))
    return Data(limited(train, limit), validation, test, tuple("0123456789"))
